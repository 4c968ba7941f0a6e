"""Unit text → how its server is started: words, variables, directory, user, sockets; pure.

Read from the rendered units and not from the model, so that a template of the administrator's counts too.
Sources: systemd.syntax(7) "QUOTING", systemd.service(5) "COMMAND LINES", systemd.exec(5) EnvironmentFile=.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from projctl import unitfile
from projctl.names import project_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " "}
_CODE = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})")
_DOLLAR = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_WHOLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")


@dataclass(frozen=True)
class Stand:
    """One socket as a service gets it: its name, and for a Unix socket no `host`. `::` takes IPv4 too.

    `stream` is its whole address.
    """

    name: str
    host: str | None = "::"
    stream: str = ""


@dataclass(frozen=True)
class Launch:
    """How one server is started. `words` still hold variables, `user` is None for whoever runs the manager.

    `host` is where a server behind a proxy must listen on $PORT; None for one that takes its sockets.
    `covers` are directories that its sandbox empties, `binds` those it shows nevertheless.
    """

    project: str
    adapter: str
    words: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    directory: str
    env_file: str | None = None
    user: str | None = None
    dynamic: bool = False
    groups: tuple[str, ...] = ()
    sockets: tuple[Stand, ...] = ()
    host: str | None = None
    notifies: bool = False
    stop_signal: str = "SIGTERM"
    state_directory: bool = False
    covers: tuple[str, ...] = ()
    binds: tuple[str, ...] = ()


def of(units: Mapping[str, str], project: str) -> Launch | None:
    """How the project's server is started, the first one of several; None when no unit tells."""
    for name in sorted(unit for unit in units if unit.endswith(".service") and project_of(unit) == project):
        sections = unitfile.parse(units[name])
        if _last(sections, "X-Projctl", "Role") in ("server", "backend"):
            return _launch(project, _Unit(sections, name), units)
    return None


def _last(sections: unitfile.Sections, section: str, key: str) -> str:
    return (unitfile.values(sections, section, key) or [""])[-1]


class _Unit:
    """The [Service] section of a unit."""

    def __init__(self, sections: unitfile.Sections, name: str) -> None:
        self.sections = sections
        self._instance = name.rpartition("@")[2].removesuffix(".service") if "@" in name else ""

    def text(self, key: str, section: str = "Service") -> str:
        return self.plain(_last(self.sections, section, key))

    def words(self, key: str) -> list[str]:
        values = unitfile.values(self.sections, "Service", key)
        return [self.plain(word) for value in values for word in split(value)]

    def plain(self, text: str) -> str:
        """The text without specifiers; only those for the percent sign and the instance are known."""
        return re.sub("%[%iI]", lambda match: "%" if match[0] == "%%" else self._instance, text)


def _launch(project: str, unit: _Unit, units: Mapping[str, str]) -> Launch:
    command = _command(_last(unit.sections, "Service", "ExecStart"))
    proxied = unit.text("Role", "X-Projctl") == "backend"
    environment = dict(word.partition("=")[::2] for word in unit.words("Environment"))
    environment.pop("PROJCTL_HOLD", None)  # lies in a directory that systemd makes for a run
    sockets = [word for word in unit.text("Requires", "Unit").split() if word.endswith(".socket")]
    return Launch(
        project=project,
        adapter=unit.text("Adapter", "X-Projctl"),
        words=tuple(unit.plain(word) for word in command),
        environment=tuple(environment.items()),
        directory=unit.text("WorkingDirectory") or "/",
        env_file=unit.text("EnvironmentFile").lstrip("-") or None,
        user=unit.text("User") or None,
        dynamic=unit.text("DynamicUser") == "yes",
        groups=tuple(unit.words("SupplementaryGroups")),
        sockets=() if proxied else tuple(_stand(units.get(socket, "")) for socket in sockets),
        host=environment.get("HOST", "127.0.0.1") if proxied else None,
        notifies=unit.text("Type").startswith("notify"),
        stop_signal=unit.text("KillSignal") or "SIGTERM",
        state_directory=bool(unit.text("StateDirectory")),
        covers=_covers(unit),
        binds=(*unit.words("BindPaths"), *unit.words("BindReadOnlyPaths")),
    )


def _command(text: str) -> list[str]:
    """The words; the path stands for itself, and after an `@` the next word is only what the program is called."""
    plain = text.lstrip("-:+!@")
    first, *rest = split(plain) or [""]
    return [first.replace("$", "$$"), *rest["@" in text[: len(text) - len(plain)] :]]


def _stand(text: str) -> Stand:
    sections = unitfile.parse(text)
    name, stream = (_last(sections, "Socket", key) for key in ("FileDescriptorName", "ListenStream"))
    if stream.startswith(("/", "@")):
        return Stand(name, None, stream.replace("%%", "%"))
    return Stand(name, stream.rpartition(":")[0].strip("[]") or "::", stream)


def _covers(unit: _Unit) -> tuple[str, ...]:
    homes = ("/home", "/root", "/run/user") if unit.text("ProtectHome") == "tmpfs" else ()
    return homes + (("/tmp", "/var/tmp") if homes and unit.text("PrivateTmp") == "yes" else ())  # noqa: S108


def split(text: str) -> list[str]:
    """The words of a directive's value, quotes and C escapes resolved; specifiers and variables stay."""
    words: list[str] = []
    word: list[str] | None = None
    quote = ""
    at = 0
    while at < len(text):
        c = text[at]
        at += 1
        if c == "\\" and at < len(text):
            plain, length = _escape(text, at)
            word = [*(word or []), plain]
            at += length
        elif c == quote:
            quote = ""
        elif not quote and c in "'\"":
            quote, word = c, word or []
        elif not quote and c in " \t\n":
            words += ["".join(word)] if word is not None else []
            word = None
        else:
            word = [*(word or []), c]
    return words + (["".join(word)] if word is not None else [])


def _escape(text: str, at: int) -> tuple[str, int]:
    """What the escape after a backslash stands for, and how long it is."""
    if text[at] in _ESCAPES:
        return _ESCAPES[text[at]], 1
    if found := _CODE.match(text, at):
        digits = found[1] or found[2] or found[3]
        return chr(int(digits, 16) if digits else int(found[4], 8)), len(found[0])
    return text[at], 1


def expand(words: Iterable[str], environment: Mapping[str, str]) -> list[str]:
    """The words with their variables filled in as systemd does: `$NAME` alone may become several words."""
    found: list[str] = []
    for word in words:
        if whole := _WHOLE.fullmatch(word):
            found += [part for part in re.split("[ \t\n\r]+", environment.get(whole[1], "")) if part]
        else:
            found.append(_DOLLAR.sub(lambda m: environment.get(m[1], "") if m[1] else "$", word))
    return found


def read_variables(text: str) -> dict[str, str]:
    """The variables of an EnvironmentFile=: `NAME=VALUE` lines, quotes and continued lines as systemd reads them."""
    found: dict[str, str] = {}
    lines = iter(re.sub(r"\r\n?", "\n", text))
    for name, value in _assignments(lines):
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            found[name] = value
    return found


def _assignments(characters: Iterator[str]) -> Iterator[tuple[str, str]]:
    name = ""
    for c in characters:
        if c in "#;" and not name.strip(" \t\r"):
            _skip_comment(characters)
            name = ""
        elif c == "\n":
            name = ""
        elif c == "=":
            yield name.strip(" \t\r"), _value(characters)
            name = ""
        else:
            name += c


def _skip_comment(characters: Iterator[str]) -> None:
    for c in characters:
        if c == "\\":
            next(characters, "")
        elif c == "\n":
            return


def _value(characters: Iterator[str]) -> str:
    """The rest of an assignment; white space at the end counts only inside quotes or escaped."""
    value, kept = "", 0
    for c in characters:
        if c == "\n":
            break
        if c == "\\":
            following = next(characters, "")
            value += "" if following == "\n" else following
            kept = len(value)
        elif c in "'\"" and not value[kept:].strip(" \t"):
            value = value[:kept] + _quoted(characters, c)
            kept = len(value)
        elif value or c not in " \t":
            value += c
            kept = kept if c in " \t" else len(value)
    return value[:kept]


def _quoted(characters: Iterator[str], quote: str) -> str:
    value = ""
    for c in characters:
        if c == quote:
            break
        if c == "\\" and quote == '"':
            following = next(characters, "")
            if following != "\n":
                value += following if following in '"\\`$' else f"\\{following}"
        else:
            value += c
    return value
