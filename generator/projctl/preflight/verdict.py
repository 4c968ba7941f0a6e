"""What a trial found, and how that is told; pure."""

from __future__ import annotations

import signal
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

#: `broken`: it could not even be started, `text` says why; `untold`: nothing can be learned here.
Outcome = Literal["took", "own-port", "exited", "left", "never", "not-ready", "broken", "untold"]

_OWN_PORT = 'write "server: proxy": a proxy then holds the socket, and the server listens on $PORT'
_WHERE = 'hand it the port in "run", for instance with "--port $PORT"'


@dataclass(frozen=True)
class Verdict:
    """What became of one start. `port` is the one it opened itself, or the one it was given and ignored.

    `status` is as subprocess has it (negative: the signal), `given` is $PORT, `said` its last lines of output.
    """

    outcome: Outcome
    seconds: float = 0.0
    port: int | None = None
    given: int | None = None
    status: int = 0
    text: str = ""
    said: tuple[str, ...] = ()

    def dump(self) -> dict[str, object]:
        """The verdict as what JSON can carry."""
        return asdict(self)

    @classmethod
    def load(cls, data: dict[str, object]) -> Verdict:
        """The verdict that `dump` made the data from."""
        said = data.pop("said")
        return cls(**data, said=tuple(map(str, said if isinstance(said, list) else ())))  # type: ignore[arg-type]

    @property
    def good(self) -> bool:
        """Whether the project works with the socket that systemd hands it, as far as a trial can tell."""
        return self.outcome in ("took", "untold")

    @property
    def collided(self) -> bool:
        """Whether it ended over an address: it wanted one that its socket has."""
        return self.outcome == "exited" and any("in use" in line for line in self.said)


def message(verdict: Verdict, *, proxied: bool) -> str:
    """What went wrong, with the last lines of output."""
    return _what(verdict, proxied=proxied) + _output(verdict.said)


def _what(verdict: Verdict, *, proxied: bool) -> str:
    if verdict.outcome == "own-port":
        if proxied:
            return f"listens on {verdict.port}, not on $PORT"
        own = "$PORT" if verdict.port == verdict.given else f"its own port {verdict.port}"
        return f"opened {own} instead of taking its socket"
    if verdict.outcome == "exited":
        return f"{_ending(verdict.status)} before it answered"
    if verdict.outcome == "left":
        return f"{_ending(verdict.status)} and left its server in the background"
    if verdict.outcome == "not-ready":
        return f"answered, but did not say READY=1 within {verdict.seconds:g} s"
    if verdict.outcome == "broken":
        return f"cannot be started: {verdict.text}"
    where = f' on its socket "{verdict.text}"' if verdict.text else ""
    return f"never answered{where} within {verdict.seconds:g} s"


def _ending(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def _output(said: Sequence[str]) -> str:
    return "; it said last:" + "".join(f"\n    {line}" for line in said) if said else ""


def advice(verdict: Verdict, cure: str | None, asks: str | None = None, *, proxied: bool) -> str | None:
    """How to mend it; `cure` is for a wrapper around the server, `asks` what the server must say to take its socket."""
    if verdict.outcome == "own-port":
        own = f"{asks}; or {_OWN_PORT}" if asks else _OWN_PORT
        return _WHERE if proxied else cure or own
    if verdict.outcome == "left":
        return "let it stay in the foreground: systemd takes care of it there"
    if verdict.outcome == "not-ready":
        return cure or 'only the process that systemd started may say it; else write "server: native"'
    if verdict.outcome == "never":
        return cure or 'if it only needs longer, raise "start_timeout"'
    return cure if verdict.outcome == "exited" and cure else None
