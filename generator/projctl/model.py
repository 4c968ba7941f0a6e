"""What a project is: pure data, in the forms a manifest may write it in."""

from __future__ import annotations

import json
import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from projctl.diagnostics import Mark
from projctl.listen import ONE_LISTEN, SOCKET, Frozen, Listen, Switch, parse_listens
from projctl.names import NAME_PATTERN
from projctl.shellwords import Variable, Word, literal, plain, split
from projctl.values import (
    BadValueError,
    kind,
    literal_text,
    parse_bytes,
    parse_each,
    parse_percent,
    parse_percent_or_never,
    parse_range,
    parse_seconds,
    parse_seconds_or_never,
    parse_seconds_or_zero,
    parse_seconds_zero_or_never,
    single_line,
)

#: What of a request an access log may tell.
_LOG_GROUPS = frozenset({"status", "seconds", "milliseconds"})
_HEALTH = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
DEFAULT_PORTS = ((5001, 5100), (6001, 6100), (7001, 7100))
#: Private ports of servers behind a proxy; below the default ephemeral range of 32768-60999.
DEFAULT_BACKEND_PORTS = ((30001, 32000),)

_SPAN = WithJsonSchema({"type": ["string", "number"], "examples": ["90s", "15m", "1h 30min", "never"]})
_RANGE = {"type": "string", "pattern": "^[0-9]+-[0-9]+$", "examples": ["5001-5100"]}
_RANGES = {"anyOf": [_RANGE, {"type": "array", "minItems": 1, "items": _RANGE}]}


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


class Idle(Frozen):
    """When an unused project stops: seconds without use (None: never), seconds it runs at the least, what is use."""

    stop: Annotated[float | None, BeforeValidator(parse_seconds_or_never), _SPAN] = Field(
        3600.0, description='how long nobody must have used it, or "never"'
    )
    freeze: Annotated[float | None, BeforeValidator(parse_seconds_or_never), _SPAN] = Field(
        None,
        description='after how long without use it freezes: no CPU, nothing lost, awake at once; or "never"',
    )
    reclaim: Switch = Field(
        False, description="whether the memory of a frozen project is moved out of the way"
    )
    min_uptime: Annotated[float, BeforeValidator(parse_seconds_or_zero), _SPAN] = Field(
        0.0, description="how long it runs at the least, used or not"
    )
    busy_cpu: Annotated[
        float | None,
        BeforeValidator(parse_percent_or_never),
        WithJsonSchema({"type": "string", "examples": ["2%", "never"]}),
    ] = Field(2.0, description='from what share of one CPU on work counts as use, or "never"')
    hold_connections: Annotated[float | None, BeforeValidator(parse_seconds_zero_or_never), _SPAN] = Field(
        3600.0,
        description='how long after its last byte an open connection counts as use; "never": for as long as it is open',
    )


def parse_idle(value: object) -> object:
    """`idle: 15m` is short for `idle: {stop: 15m}`."""
    return value if isinstance(value, dict) else {"stop": parse_seconds_or_never(value) or "never"}


class Warm(Frozen):
    """Whether it runs before anybody asks for it; `begins` and `ends` are calendar events, of a window only."""

    when: Literal["never", "boot", "always", "window"] = "never"
    begins: str = ""
    ends: str = ""


NO_HOURS = 'cannot end when it begins: "from" and "until" are the same'
_WARM_WORDS = ("never", "boot", "always")
_WARM_KEYS = ("from", "until")
_WARM = {
    "anyOf": [
        {"enum": list(_WARM_WORDS)},
        {
            "type": "object",
            "properties": {key: {"type": "string"} for key in _WARM_KEYS},
            "required": list(_WARM_KEYS),
            "additionalProperties": False,
            "examples": [{"from": "Mon..Fri 08:00", "until": "Mon..Fri 18:00"}],
        },
    ]
}


def parse_warm(value: object) -> Warm:
    """`never`, `boot`, `always`, or the two calendar events of systemd.time(7) between which it is warm."""
    if isinstance(value, str) and value in _WARM_WORDS:
        return Warm.model_validate({"when": value})
    if not isinstance(value, dict):
        hint = 'for some hours write {from: "Mon..Fri 08:00", until: "Mon..Fri 18:00"}'
        raise BadValueError(f"must be one of: {', '.join(_WARM_WORDS)}, or a mapping of from and until", hint)
    found = dict(parse_each(((str(key), (key, event)) for key, event in value.items()), _calendar_event))
    if len(found) < len(_WARM_KEYS):
        raise BadValueError('must have both "from" and "until"')
    if found["from"] == found["until"]:
        raise BadValueError(NO_HOURS)
    return Warm(when="window", begins=found["from"], ends=found["until"])


def _calendar_event(entry: object) -> str:
    key, event = entry if isinstance(entry, tuple) else ("", entry)
    if key not in _WARM_KEYS:
        raise BadValueError(f'unknown key "{key}", must be one of: {", ".join(_WARM_KEYS)}', on_key=True)
    return single_line(event)


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


class Health(Frozen):
    """What shows that a server answers: an HTTP `path`, a command of these `words`, else that it takes TCP."""

    path: str | None = None
    words: tuple[Word, ...] = ()


def parse_health(value: object) -> Health:
    """`/path`, `tcp`, or a command: of several words (split as a shell would, without a shell), or a list."""
    if value == "tcp":
        return Health()
    if isinstance(value, str) and value.startswith("/"):
        if not re.fullmatch(r"/[!-~]*", value):
            raise BadValueError("must be a path of visible ASCII characters", _as_command(value))
        return Health(path=value)
    if isinstance(value, str) and not re.search(r"\s", value):
        hint = f'write "/{value}", or a command as a list'
        raise BadValueError('must be a path that begins with a slash, "tcp" or a command', hint)
    words = parse_run(value).words
    if "/" in str(words[0][0]) and not str(words[0][0]).startswith("/"):
        raise BadValueError("must name its program by an absolute path or by its name alone")
    return Health(words=words)


def parse_access_log(value: object) -> str:
    """`json`, `none`, or a regular expression that finds what the log has of a request in named groups."""
    text = literal_text(value)
    if text in ("json", "none"):
        return text
    try:
        groups = re.compile(text).groupindex.keys()
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f'must be "json", "none" or a regular expression: {error}') from None
    if unknown := groups - _LOG_GROUPS:
        raise ValueError(f'unknown group "{min(unknown)}", must be one of: {", ".join(sorted(_LOG_GROUPS))}')
    if "status" not in groups:
        hint = r'such as " (?P<status>\d{3}) (?P<seconds>[\d.]+)$"'
        raise BadValueError("must have the group (?P<status>…), what the server answered", hint)
    if not text.isprintable() or text != text.strip() or text.endswith("\\"):
        raise BadValueError(
            "cannot hold control characters, or a space or backslash at its ends", 'write "[ ]" or "\\t"'
        )
    return text


def _as_command(text: str) -> str | None:
    """How to write what looks like a command but begins with a slash, as paths do."""
    try:
        words = [plain(word) for word in split(text)]
    except ValueError:
        words = []
    return (
        f"to run it as a command, write {json.dumps(words, ensure_ascii=False)}" if len(words) > 1 else None
    )


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
    warm: Annotated[Warm, BeforeValidator(parse_warm), WithJsonSchema(_WARM)] = Field(
        Warm(), description="whether it runs before anybody asks for it, and stays"
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
    instances: Annotated[int, Field(ge=1, le=512)] = Field(1, description="how many servers of it there are")
    health: Annotated[Health | None, BeforeValidator(parse_health), WithJsonSchema(_HEALTH)] = Field(
        None, description='what shows that it answers: "/path", "tcp", or a command that exits with 0'
    )
    access_log: Annotated[
        str | None, BeforeValidator(parse_access_log), WithJsonSchema({"type": "string"})
    ] = Field(
        None,
        description='its access log\'s lines: "json", "none" or a regular expression; default: as the server',
    )
    network: Literal["host", "private"] = Field(
        "host", description="private: a network of its own, without a way out; only its sockets reach it"
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
        WithJsonSchema({"anyOf": [ONE_LISTEN, {"type": "object", "additionalProperties": SOCKET}]}),
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
