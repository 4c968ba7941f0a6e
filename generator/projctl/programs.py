"""Which file a command means, and what else must be there for it to run; reads files, runs none."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING

from projctl.accounts import is_below, parent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

#: Where systemd itself looks (systemd.exec(5), $PATH).
STANDARD_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
#: Prefixes that hold much besides one program, so they are never made visible as a whole.
_SHARED = ("/", "/root", "/home", "/tmp", "/var", "/var/tmp", "/opt", "/srv", "/mnt", "/run", "/etc")  # noqa: S108
_HOME = os.path.expanduser("~")  # noqa: PTH111
_TRAMPOLINE = re.compile(r"""'''exec' (?:"([^"]+)"|'([^']+)'|(\S+)) "\$0" """)
_SCRIPT_DEPTH = 4


class NotRunnableError(Exception):
    """The command cannot run; `hint` says what to do about it."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def places(directory: str, env: Mapping[str, str]) -> list[str]:
    """The directories a bare name is looked for in, in order."""
    given = [str(Path(directory, entry)) for entry in env.get("PATH", "").split(":") if entry]
    beside = [f"{directory}/{name}" for name in (".venv/bin", "venv/bin", "node_modules/.bin")]
    return list(dict.fromkeys([*given, *beside, *STANDARD_PATH, str(Path(sys.executable).parent)]))


def find(word: str, directory: str, env: Mapping[str, str], refusal: Callable[[str], str | None]) -> str:
    """The absolute path of the program `word`; raises NotRunnableError.

    `refusal` says why a file that is there cannot be executed, or None. The path is kept as found: a Python
    knows its virtual environment by the name it is called by.
    """
    if "/" in word:
        path = _join(directory, word)
        if not Path(path).exists():
            raise NotRunnableError(f"cannot find the program {path}")
        if reason := refusal(path):
            raise NotRunnableError(f"cannot run {path}: {reason}", f"try: ls -l {path}")
        return path
    refused = ""
    for place in places(directory, env):
        path = f"{place}/{word}"
        if not is_file(path):
            continue
        if not (reason := refusal(path)):
            return path
        refused = refused or f"; {path} is there, but {reason}"
    looked = ", ".join(places(directory, env))
    hint = 'write its absolute path, or set PATH under "env"'
    raise NotRunnableError(f'cannot find the program "{word}" in {looked}{refused}', hint)


def is_file(path: str) -> bool:
    """Whether a regular file is there that we may look at."""
    try:
        return S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - ten times faster, and there are many
    except OSError:
        return False


def _join(directory: str, word: str) -> str:
    path = os.path.join(directory, word)  # noqa: PTH118 - as above
    if "/../" in path:
        return f"{os.path.realpath(parent(path))}/{path.rpartition('/')[2]}"
    return path.replace("/./", "/")


def chain(program: str, env: Mapping[str, str]) -> list[str]:
    """The program, its interpreter, and so on to one that is no script; raises NotRunnableError."""
    found = [program]
    while len(found) <= _SCRIPT_DEPTH and (words := _interpreter(found[-1])):
        following = _behind_env(words, env) if Path(words[0]).name == "env" else words[0]
        if following is None:
            break
        if not is_file(following):
            hint = "if it is a virtual environment whose Python went away, make it anew"
            raise NotRunnableError(f"cannot run {found[-1]}: its interpreter {following} is missing", hint)
        found.append(following)
    return found


def _interpreter(path: str) -> list[str]:
    try:
        with Path(path).open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            head = file.read(4096).split("\n")
    except OSError:
        return []
    if not head[0].startswith("#!"):
        return []
    # Installers write a shell line before an interpreter whose path is too long or has spaces.
    if len(head) > 1 and (match := _TRAMPOLINE.match(head[1])):
        return [match[1] or match[2] or match[3]]
    return [word for word in head[0][2:].split() if word]


def _behind_env(words: list[str], env: Mapping[str, str]) -> str | None:
    name = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), None)
    searched = env["PATH"].split(":") if env.get("PATH") else STANDARD_PATH
    found = (f"{place}/{name}" for place in searched if name and place.startswith("/"))
    return next((path for path in found if is_file(path)), None)


def roots(files: list[str], directory: str) -> tuple[str, ...]:
    """The paths outside `directory` and the system's own trees that must be visible for `files` to run."""
    found: set[str] = set()
    places = {parent(hop): hop for file in files for hop in _hops(file)}
    for place, file in places.items():
        found |= {*_python_of(parent(place)), *_prefix(file)}
    outside = {root for root in found if not is_below(root, (*_SYSTEM, directory))}
    return tuple(sorted(root for root in outside if not is_below(root, tuple(outside - {root}))))


def _hops(path: str) -> Iterator[str]:
    """The path, each symlink it leads over, and the file at the end."""
    seen: set[str] = set()
    while path not in seen:
        seen.add(path)
        yield path
        if os.path.islink(path):  # noqa: PTH114
            path = _join(parent(path), os.readlink(path))  # noqa: PTH115
    yield os.path.realpath(path)


def _python_of(environment: str) -> Iterator[str]:
    """The prefix of the Python that a virtual environment was made from; nothing if it is none."""
    try:
        with open(f"{environment}/pyvenv.cfg", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
            text = file.read(65536)
    except OSError:
        return
    if match := re.search(r"^home\s*=\s*(/.*?)\s*$", text, re.MULTILINE):
        yield from _prefix(f"{match[1]}/python")
        yield from _prefix(f"{os.path.realpath(match[1])}/python")


def _prefix(file: str) -> Iterator[str]:
    """What a program was installed as: the directory around its `bin`, unless others share that."""
    place = parent(file)
    above = parent(place)
    if not place.endswith(("/bin", "/sbin")):
        yield file if _is_shared(place) else place
    elif not _is_shared(above):
        yield above
    else:
        yield place
        # pip install --user puts what its programs import there.
        if above.endswith("/.local") and Path(above, "lib").is_dir():
            yield f"{above}/lib"


def _is_shared(prefix: str) -> bool:
    return prefix in _SHARED or prefix.endswith("/.local") or parent(prefix) == "/home" or prefix == _HOME
