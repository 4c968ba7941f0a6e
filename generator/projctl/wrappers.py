"""Programs around a server that keep its socket from it, found in the words of `run`; pure.

Tried with each of them: which process id the server ends up with (LISTEN_PID names the one that systemd
started) and whether descriptor 3 is still open in it.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from projctl import adapters
from projctl.diagnostics import Problem
from projctl.shellwords import literal, plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from projctl.adapters import Adapter
    from projctl.model import Fleet, Project

#: `all`: the wrapper replaces itself by the server; `descriptors`: the server is its child; else none arrive.
Keeps = Literal["all", "descriptors", "nothing"]

_DIRECT = "run the server itself"
_VENV = "run the one in the project's virtual environment itself"
_NODE = "run the script itself"
_NO_NEED = "leave it out: systemd does what it is for"
_USER = 'leave it out, and name the user with "user"'

#: Wrappers by program and, where it has several uses, by subcommand: what the server keeps, and the cure.
_KINDS: Mapping[tuple[str, ...], tuple[Keeps, str]] = {
    ("uv", "run"): ("descriptors", _VENV),
    ("uvx",): ("descriptors", _VENV),
    ("uv", "tool", "run"): ("descriptors", _VENV),
    ("pdm", "run"): ("descriptors", _VENV),
    ("hatch", "run"): ("nothing", _VENV),
    ("conda", "run"): ("nothing", _DIRECT),
    ("poetry", "run"): ("all", _VENV),
    ("pipenv", "run"): ("all", _VENV),
    ("npm", "start"): ("nothing", _NODE),
    ("npm", "run"): ("nothing", _NODE),
    ("npm", "run-script"): ("nothing", _NODE),
    ("npm", "exec"): ("nothing", _NODE),
    ("npx",): ("nothing", _NODE),
    ("yarn",): ("nothing", _NODE),
    ("pnpm",): ("nothing", _NODE),
    ("bunx",): ("nothing", _NODE),
    ("nodemon",): ("nothing", _NODE),
    ("pm2",): ("nothing", _NODE),
    ("sudo",): ("nothing", _USER),
    ("su",): ("descriptors", _USER),
    ("runuser",): ("descriptors", _USER),
    ("docker", "run"): ("nothing", "run the server outside the container"),
    ("podman", "run"): ("nothing", "run the server outside the container"),
    ("systemd-run",): ("nothing", _NO_NEED),
    ("setsid",): ("descriptors", _NO_NEED),
    ("timeout",): ("descriptors", 'leave it out, and write "max_runtime"'),
    ("nohup",): ("all", _NO_NEED),
    ("env",): ("all", 'write the variables under "env"'),
    ("nice",): ("all", _DIRECT),
    ("ionice",): ("all", _DIRECT),
    ("stdbuf",): ("all", _DIRECT),
    ("taskset",): ("all", _DIRECT),
    ("setpriv",): ("all", _DIRECT),
}
_SHELLS = ("sh", "bash", "dash", "ash", "zsh", "ksh")
_OPERATOR = re.compile(r"\|\||&&|[;&|\n]")
_OPERATORS = ("&&", "||", ";", "&", "|")
_OPTIONS_WITH_VALUE = {"-u", "--unset", "-n", "-c", "--with", "--python", "--env-file", "--extra", "--group"}
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


@dataclass(frozen=True)
class Wrapper:
    """The outermost program around a server that does not hand everything on. `script` is a shell's own text."""

    name: str
    keeps: Keeps
    cure: str
    inner: tuple[str, ...] = ()
    script: str | None = None


def problems(fleet: Fleet, project: Project) -> list[Problem]:
    """What is wrong with how the project's command is wrapped, with its place; notes are warnings."""
    texts = [plain(word) for word in project.run.words]
    servers = _servers(texts)
    place = fleet.mark(project.name, "run"), f"$.projects.{project.name}.run"
    if len(servers) > 1:
        names = " and ".join(servers)
        return [Problem(f'cannot run {names} in one "run"', *place, "make each a project of its own")]
    adapter = adapters.choose_or_none(project)
    wrapper = find(texts)
    if adapter is None:
        return []
    if wrapper is None or adapter.name == "native":
        return _refused_variables(fleet, project, adapter)
    if not adapter.proxied:
        found = _loss(adapter, wrapper)
        return [Problem(message, *place, hint) for message, hint in found]
    if project.server is None and servers:
        message = (
            f'{servers[0]} gets a proxy in front of it: under "{wrapper.name}" it is not started directly'
        )
        hint = f'{wrapper.cure}; or write "server: proxy" if that is what you want'
        return [Problem(message, *place, hint, severity="warning")]
    return []


def cure(project: Project) -> str | None:
    """What to do about the wrapper in the project's command; None when there is none."""
    wrapper = find([plain(word) for word in project.run.words])
    return wrapper.cure if wrapper else None


def _loss(adapter: Adapter, wrapper: Wrapper) -> list[tuple[str, str]]:
    by_number = bool(adapter.arguments or adapter.environment())
    if wrapper.keeps == "nothing" or (wrapper.keeps == "descriptors" and not by_number):
        return [(f'cannot run {adapter.name} under "{wrapper.name}": it would lose the socket', wrapper.cure)]
    found = [
        (f'cannot run {adapter.name} with "{option}": it would lose the socket', hint)
        for option, hint in adapter.refused.items()
        if option in wrapper.inner
    ]
    if wrapper.script and adapter.arguments and adapter.arguments[0] not in wrapper.script:
        option = " ".join(adapter.arguments).format(fd=3)
        message = f'must hand {adapter.name} its socket: "{option}" is missing'
        found.append((message, f"{wrapper.cure}, or add it inside the script"))
    return found


def _refused_variables(fleet: Fleet, project: Project, adapter: Adapter) -> list[Problem]:
    """Options that lose the socket in the variable that gunicorn takes options from."""
    name = "GUNICORN_CMD_ARGS"
    given = project.env.get(name, "").split() if adapter.name == "gunicorn" else []
    path = f"$.projects.{project.name}.env.{name}"
    return [
        Problem(
            f'cannot run gunicorn with "{option}": it would lose the socket',
            fleet.mark(project.name, "env", name),
            path,
            hint,
        )
        for option, hint in adapter.refused.items()
        if option in given
    ]


def find(texts: Sequence[str]) -> Wrapper | None:
    """The wrapper in these words that keeps the least from the server; None for a server that stands alone."""
    program = texts[0].rpartition("/")[2] if texts else ""
    if program in _SHELLS:
        return _shell(program, texts)
    for key, (keeps, cure) in _KINDS.items():
        if (program, *texts[1 : len(key)]) == key:
            inner = _inner(texts[len(key) :])
            below = find(inner)
            found = Wrapper(" ".join(key), keeps, _spelled(cure, inner), tuple(inner))
            return below if below and _RANK[below.keeps] <= _RANK[keeps] else found
    return None


_RANK: Mapping[Keeps, int] = {"nothing": 0, "descriptors": 1, "all": 2}


def _inner(texts: Sequence[str]) -> list[str]:
    """The command behind a wrapper's own options and assignments."""
    rest = list(texts)
    while rest and (rest[0].startswith("-") or _ASSIGNMENT.match(rest[0])):
        option = rest.pop(0)
        if option == "--":
            break
        if option in _OPTIONS_WITH_VALUE and rest:
            rest.pop(0)
    return rest


def _spelled(cure: str, inner: Sequence[str]) -> str:
    if cure is _VENV and inner and "/" not in inner[0]:
        return f'{cure}: ".venv/bin/{shlex.join(inner)}"'
    if cure is _NODE:
        return f'{cure}: "node server.js"'
    return cure


def _shell(program: str, texts: Sequence[str]) -> Wrapper | None:
    flags = [text for text in texts[1:3] if re.fullmatch("-[a-z]*c", text)]
    if not flags:
        # What a script does is for a trial to find out.
        cure = f'let the script start its server with "exec", or {_DIRECT}'
        return Wrapper(program, "all", cure) if texts[1:] else None
    script = next(iter(texts[texts.index(flags[0]) + 1 :]), "")
    last = _commands(script)[-1:] or [[]]
    if last[0][:1] == ["exec"]:
        inner = _inner(last[0][1:])
        below = find(inner)
        cure = f'run it without the shell: "{shlex.join(inner)}"'
        return below or Wrapper(f"{program} -c", "all", cure, tuple(inner), script)
    cure = f'write "exec" before the server: [{program}, {flags[0]}, "exec …"]'
    return Wrapper(f"{program} -c", "descriptors", cure, tuple(last[0]), script)


def _commands(script: str) -> list[list[str]]:
    """The commands of a shell script in words, as far as can be told without a shell."""
    found = []
    for part in _OPERATOR.split(script):
        try:
            words = shlex.split(part)
        except ValueError:
            words = part.split()
        if words:
            found.append(words)
    return found


def _servers(texts: Sequence[str]) -> list[str]:
    """The servers that are recognised in the words, wrapped or not, in order."""
    found: list[str] = []
    command: list[str] = []
    for text in [*texts, ";"]:
        if text in _OPERATORS:
            found += _servers_of(command)
            command = []
        else:
            command.append(text)
    return found


def _servers_of(command: Sequence[str]) -> list[str]:
    words = command[1:] if command[:1] == ["exec"] else list(command)
    words = _inner(words) if words and _ASSIGNMENT.match(words[0]) else words
    if not words:
        return []
    program = words[0].rpartition("/")[2]
    if program in _SHELLS and (script := _script(words)):
        return [name for inner in _commands(script) for name in _servers_of(inner)]
    for key in _KINDS:
        if (program, *words[1 : len(key)]) == key:
            return _servers_of(_inner(words[len(key) :]))
    parts = tuple(literal(word) for word in words)
    return [adapter.name for adapter in adapters.every().values() if adapter.recognises(parts)][:1]


def _script(words: Sequence[str]) -> str | None:
    flags = [text for text in words[1:3] if re.fullmatch("-[a-z]*c", text)]
    return next(iter(words[words.index(flags[0]) + 1 :]), None) if flags else None
