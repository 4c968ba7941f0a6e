"""What a project is: pure data, in the forms a manifest may write it in."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from projctl.diagnostics import Mark
from projctl.names import NAME_PATTERN
from projctl.shellwords import Variable, Word, literal, split
from projctl.values import (
    BadValueError,
    kind,
    literal_text,
    parse_bytes,
    parse_each,
    parse_percent,
    parse_range,
    parse_seconds,
    parse_seconds_or_never,
    parse_seconds_or_zero,
    single_line,
)

DEFAULT_PORTS = ((5001, 5100), (6001, 6100), (7001, 7100))
#: Private ports of servers behind a proxy; below the default ephemeral range of 32768-60999.
DEFAULT_BACKEND_PORTS = ((30001, 32000),)

_SPAN = WithJsonSchema({"type": ["string", "number"], "examples": ["90s", "15m", "1h 30min", "never"]})
_ONE_LISTEN = {
    "type": ["string", "integer"],
    "examples": [3400, "auto", "auto:5001-5100", "127.0.0.1:3400", "unix"],
}
_RANGE = {"type": "string", "pattern": "^[0-9]+-[0-9]+$", "examples": ["5001-5100"]}
_RANGES = {"anyOf": [_RANGE, {"type": "array", "minItems": 1, "items": _RANGE}]}


class Frozen(BaseModel):
    """Base of all model classes: immutable, no unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Run(Frozen):
    """A command. Variables in its words are filled in by systemd from the service's environment."""

    words: tuple[Word, ...]


def parse_run(value: object) -> Run:
    """A command from its string form (split as a shell would, without a shell) or its list form (literal)."""
    if isinstance(value, list):
        words = tuple(literal(word) for _, word in parse_each(enumerate(value), literal_text))
    elif isinstance(value, str):
        words = split(literal_text(value))
    else:
        raise ValueError(f"must be a command as a string or as a list of strings, not {kind(value)}")
    if not words or words[0] == ("",):
        raise ValueError("must name a program")
    if any(isinstance(part, Variable) for part in words[0]):
        raise BadValueError(
            "cannot take the program's name from a variable: systemd does not expand it there"
        )
    if isinstance(value, str) and re.match(r"[A-Za-z_][A-Za-z0-9_]*=", str(words[0][0])):
        raise BadValueError("must begin with a program, not with a variable", 'put variables under "env"')
    return Run(words=words)


class Listen(Frozen):
    """Where a socket listens, as asked for: a fixed address, or a port to be given out of ranges.

    `port` is None for a Unix socket and for a port still to be given; `ranges` is empty for a fixed port and
    for the ranges of `ports:`. `host` is None for every address of the machine, IPv4 and IPv6.
    """

    kind: Literal["tcp", "unix"] = "tcp"
    host: str | None = None
    port: int | None = None
    auto: bool = False
    ranges: tuple[tuple[int, int], ...] = ()
    path: str | None = None


def parse_listen(value: object) -> Listen:
    """One `listen` value: port, `auto`, `auto:a-b`, `host:port`, `[v6]:port`, `unix` or an absolute path."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Listen(port=_port(value))
    if not isinstance(value, str):
        raise BadValueError(_LISTEN_FORMS, _LISTEN_HINT)
    if re.fullmatch("[0-9]{1,9}", value):
        return Listen(port=_port(int(value)))
    if value == "auto":
        return Listen(auto=True)
    if value.startswith("auto:"):
        return Listen(auto=True, ranges=(parse_range(value.removeprefix("auto:")),))
    if value == "unix":
        return Listen(kind="unix")
    if value.startswith("/"):
        return Listen(kind="unix", path=_socket_path(value))
    return _host_and_port(value)


_LISTEN_FORMS = 'must be a port from 1 to 65535, "auto", "auto:a-b", "host:port", "unix" or an absolute path'
_LISTEN_HINT = 'to take a free port, write "auto" or "auto:5001-5100"'


def _port(number: int) -> int:
    if not 1 <= number <= 65535:
        raise BadValueError(_LISTEN_FORMS, _LISTEN_HINT)
    return number


def _socket_path(text: str) -> str:
    single_line(text)
    if len(text.encode()) > 107:
        raise ValueError(
            f"must be at most 107 bytes long for a Unix socket, this path has {len(text.encode())}"
        )
    if text != text.strip() or "//" in text or "/../" in text or text.endswith(("/", "/..")):
        raise ValueError("must be a plain absolute path")
    return text


def _host_and_port(text: str) -> Listen:
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)|(localhost)):([0-9]{1,5})", text)
    if not match:
        raise BadValueError(_LISTEN_FORMS, _LISTEN_HINT)
    host = "127.0.0.1" if match[3] else match[1] or match[2]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f'cannot read "{host}" as an IP address') from None
    return Listen(host=str(address), port=_port(int(match[4])))


def parse_listens(value: object) -> dict[str, Listen]:
    """The sockets of a project by name; a single value is the socket called `http`."""
    if not isinstance(value, dict):
        return {"http": parse_listen(value)}
    if not value:
        raise ValueError("must name at least one socket")
    parse_each(((name, name) for name in value), _socket_name)
    return dict(parse_each(value.items(), parse_listen))


def _socket_name(name: object) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name) or name == "backend":
        hint = 'use at most 31 lower-case letters, digits and "-"; "backend" is taken'
        raise BadValueError("cannot be the name of a socket", hint, on_key=True)
    return name


class Idle(Frozen):
    """When an unused project stops: seconds without use (None: never), and seconds it runs at the least."""

    stop: Annotated[float | None, BeforeValidator(parse_seconds_or_never), _SPAN] = Field(
        3600.0, description='how long nobody must have used it, or "never"'
    )
    min_uptime: Annotated[float, BeforeValidator(parse_seconds_or_zero), _SPAN] = Field(
        0.0, description="how long it runs at the least, used or not"
    )


def parse_idle(value: object) -> object:
    """`idle: 15m` is short for `idle: {stop: 15m}`."""
    return value if isinstance(value, dict) else {"stop": parse_seconds_or_never(value) or "never"}


class Limits(Frozen):
    """Upper bounds: bytes of memory, percent of one CPU, tasks, threads of numeric libraries."""

    memory: Annotated[
        int | None, BeforeValidator(parse_bytes), WithJsonSchema({"type": ["string", "integer"]})
    ] = Field(None, description='the most memory it may take, such as "512M"')
    cpu: Annotated[float | None, BeforeValidator(parse_percent), WithJsonSchema({"type": "string"})] = Field(
        None, description='the most CPU time it may take, such as "50%" of one CPU'
    )
    tasks: Annotated[int | None, Field(ge=1, le=4_000_000)] = Field(
        None, description="the most processes and threads it may have"
    )
    threads: Annotated[int | None, Field(ge=1, le=4096)] = Field(
        None, description="threads of the common numeric libraries"
    )


def parse_ranges(value: object) -> tuple[tuple[int, int], ...]:
    """Several ranges of ports, tried in order; one may be written without the list."""
    items = value if isinstance(value, list) else [value]
    if not items:
        raise ValueError("must have at least one range")
    return tuple(found for _, found in parse_each(enumerate(items), parse_range))


def parse_env(value: object) -> dict[str, str]:
    """Environment variables; values are literal and reach the process byte for byte."""
    if not isinstance(value, dict):
        raise ValueError(f"must be a mapping of names to strings, not {kind(value)}")
    parse_each(((name, name) for name in value), _variable_name)
    return dict(parse_each(value.items(), literal_text))


def _variable_name(name: object) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise BadValueError("cannot be the name of a variable", 'use letters, digits and "_"', on_key=True)
    return name


class Settings(Frozen):
    """What `defaults:` may hold and every project inherits; its own key wins, mappings merge key by key."""

    ports: Annotated[tuple[tuple[int, int], ...], BeforeValidator(parse_ranges), WithJsonSchema(_RANGES)] = (
        Field(DEFAULT_PORTS, description="ranges that automatic ports are given out of, tried in order")
    )
    backend_ports: Annotated[
        tuple[tuple[int, int], ...], BeforeValidator(parse_ranges), WithJsonSchema(_RANGES)
    ] = Field(DEFAULT_BACKEND_PORTS, description="ranges for the private ports of servers behind a proxy")
    user: Annotated[str | None, BeforeValidator(single_line)] = Field(
        None, description='the user it runs as, or "dynamic"; default: root, in user mode yourself'
    )
    env: Annotated[
        dict[str, str],
        BeforeValidator(parse_env),
        WithJsonSchema({"type": "object", "additionalProperties": {"type": "string"}}),
    ] = Field(default_factory=dict, description="environment variables, literal")
    idle: Annotated[Idle, BeforeValidator(parse_idle)] = Field(
        Idle(), description="when an unused project stops"
    )
    start_timeout: Annotated[float, BeforeValidator(parse_seconds), _SPAN] = Field(
        30.0, description="how long a start may take before it counts as failed"
    )
    stop_timeout: Annotated[float, BeforeValidator(parse_seconds), _SPAN] = Field(
        30.0, description="how long a stop may take before the server is killed"
    )
    max_runtime: Annotated[float | None, BeforeValidator(parse_seconds_or_never), _SPAN] = Field(
        None, description="hard cap on one run, busy or not"
    )
    limits: Limits = Field(Limits(), description="upper bounds on memory, CPU, tasks and threads")
    sandbox: Literal["off", "basic", "strict"] = Field(
        "basic", description="how much of the machine the project may see and change"
    )


class Project(Settings):
    """One server program with its own directory, user, sockets and limits."""

    name: Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
    path: Annotated[str, BeforeValidator(single_line)] = Field(
        description="its working directory; relative to the manifest's own directory"
    )
    run: Annotated[
        Run,
        BeforeValidator(parse_run),
        WithJsonSchema(
            {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
        ),
    ] = Field(description="its command: a string (split into words, no shell) or a list (literal)")
    listen: Annotated[
        dict[str, Listen],
        BeforeValidator(parse_listens),
        WithJsonSchema({"anyOf": [_ONE_LISTEN, {"type": "object", "additionalProperties": _ONE_LISTEN}]}),
    ] = Field(default_factory=lambda: {"http": Listen(auto=True)}, description="where it listens")
    server: Annotated[str | None, BeforeValidator(single_line)] = Field(
        None, description="the adapter, when `run` does not tell"
    )
    env_file: Annotated[str | None, BeforeValidator(single_line)] = Field(
        None, description="a file of further variables, read by systemd at each start"
    )


class Fleet(Frozen):
    """All projects of one run, by name, with the place in a manifest of every key that was written.

    `marks` maps (project, key, …) to where it stands; `(project,)` is the project itself.
    """

    projects: dict[str, Project]
    marks: dict[tuple[str, ...], Mark] = Field(default_factory=dict)

    def mark(self, *path: str) -> Mark | None:
        """The place of the key, or of the nearest key around it that was written."""
        while path and path not in self.marks:
            path = path[:-1]
        return self.marks.get(path)
