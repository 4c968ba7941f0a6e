"""Where a project's sockets listen, in the forms a manifest may write it in."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from projctl.values import (
    BadFormError,
    BadPartsError,
    BadValueError,
    parse_each,
    parse_range,
    parse_switch,
    single_line,
)

#: Bytes of a Unix socket's path (unix(7): sun_path without its last byte).
MAX_SOCKET_PATH = 107
ONE_LISTEN = {
    "type": ["string", "integer"],
    "examples": [3400, "auto", "auto:5001-5100", "127.0.0.1:3400", "unix"],
}

Switch = Annotated[bool, BeforeValidator(parse_switch), WithJsonSchema({"type": "boolean"})]


class Frozen(BaseModel):
    """Base of all model classes: immutable, no unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Listen(Frozen):
    """Where a socket listens, as asked for: a fixed address, or a port to be given out of ranges.

    `port` is None for a Unix socket and for a port still to be given; `ranges` is empty for a fixed port and
    for the ranges of `ports:`. `host` is None for every address of the machine, IPv4 and IPv6. `each` means a
    port of its own for each instance: the k-th of the range, or with `auto` any of it. `device` is the network
    interface it is bound to. `mode`, `owner` and `group` are those of a Unix socket's file.
    """

    kind: Literal["tcp", "unix"] = "tcp"
    host: str | None = None
    port: int | None = None
    auto: bool = False
    ranges: tuple[tuple[int, int], ...] = ()
    path: str | None = None
    each: bool = False
    counts_as_activity: bool = True
    wakes: bool = True
    device: str | None = None
    mode: str | None = None
    owner: str | None = None
    group: str | None = None

    def of_instance(self, number: int) -> Listen:
        """What the instance of that number (from 0) asks for."""
        if not self.each or self.auto:
            return self.model_copy(update={"each": False})
        return self.model_copy(update={"each": False, "ranges": (), "port": self.ranges[0][0] + number})


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
        return Listen(auto=True, ranges=(parse_range(value.removeprefix("auto:")),), each=True)
    if re.fullmatch("[0-9]+-[0-9]+", value):
        return Listen(ranges=(parse_range(value),), each=True)
    if value == "unix":
        return Listen(kind="unix")
    if value.startswith("/"):
        return Listen(kind="unix", path=_socket_path(value))
    return _with_device(value) or _host_and_port(value)


def _with_device(text: str) -> Listen | None:
    """`eth0:3400`: a port on one network interface, at all of its addresses."""
    match = re.fullmatch(r"([a-z][a-z0-9_-]{0,14}(?:\.[0-9]{1,4})?):([0-9]{1,5})", text)
    if not match or match[1] in ("auto", "localhost", "unix"):
        return None
    return Listen(device=match[1], port=_port(int(match[2])))


_LISTEN_FORMS = (
    'must be a port from 1 to 65535, a range "a-b", "auto", "auto:a-b", "host:port", "interface:port", "unix" or a path'
)  # fmt: skip
_LISTEN_HINT = 'to take a free port, write "auto" or "auto:5001-5100"'


def _port(number: int) -> int:
    if not 1 <= number <= 65535:
        raise BadValueError(_LISTEN_FORMS, _LISTEN_HINT)
    return number


def _socket_path(text: str) -> str:
    single_line(text)
    if len(text.encode()) > MAX_SOCKET_PATH:
        raise ValueError(
            f"must be at most {MAX_SOCKET_PATH} bytes long for a Unix socket, this path has {len(text.encode())}"
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
    return dict(parse_each(value.items(), parse_socket))


def parse_mode(value: object) -> str:
    """An access mode as chmod(1) takes it in octal."""
    if isinstance(value, str) and re.fullmatch("0?[0-7]{3}", value):
        return value
    raise BadValueError("must be an access mode of three octal digits", 'write it in quotes, such as "0660"')


class SocketForm(Frozen):
    """The long form of one socket."""

    address: Annotated[Listen, BeforeValidator(parse_listen), WithJsonSchema(ONE_LISTEN)] = Field(
        description="where it listens, in any of the short forms"
    )
    counts_as_activity: Switch = Field(True, description="whether use of it keeps the project awake")
    wakes: Switch = Field(True, description="whether it is open while the project sleeps, and starts it")
    mode: Annotated[str | None, BeforeValidator(parse_mode)] = Field(
        None, description='access mode of a Unix socket, such as "0660"'
    )
    owner: Annotated[str | None, BeforeValidator(single_line)] = Field(
        None, description="user that owns a Unix socket"
    )
    group: Annotated[str | None, BeforeValidator(single_line)] = Field(
        None, description="group that owns a Unix socket"
    )


def parse_socket(value: object) -> Listen:
    """A socket in its short form, or as a mapping with `address` and what is special about it."""
    if not isinstance(value, dict):
        return parse_listen(value)
    try:
        form = SocketForm.model_validate(value)
    except ValidationError as error:
        raise BadFormError(error, SocketForm) from None
    special = form.model_dump(exclude={"address"})
    for key in ("mode", "owner", "group"):
        if special[key] is not None and form.address.kind != "unix":
            raise BadPartsError(
                [(key, BadValueError("cannot be set for a port, only for a Unix socket", on_key=True))]
            )
    return form.address.model_copy(update=special)


def _socket_name(name: object) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name) or name == "backend":
        hint = 'use at most 31 lower-case letters, digits and "-"; "backend" is taken'
        raise BadValueError("cannot be the name of a socket", hint, on_key=True)
    return name


#: A socket in either form, as JSON Schema.
SOCKET = {"anyOf": [ONE_LISTEN, SocketForm.model_json_schema()]}
