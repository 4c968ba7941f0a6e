"""The entries the agent writes: identities, texts, figures; `projctl-agent.catalog` explains them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from systemd import journal

from projctl_agent.names import project_and_number

if TYPE_CHECKING:
    from projctl_agent.holds import Hold
    from projctl_agent.idle import Decision

IDLE_STOP = "d649923182a64247b971172f532f4fa7"
IDLE_STOP_REFUSED = "4bfa4131724e43068a337e1a258fcdbd"
NO_COUNTERS = "4c17779e887147b59460df30aa683277"
REARMED = "81f851c180ad1c9ddebebca04fb7db6b"
HELD_UP = "9babf84b0b7f45599fcd13cb76d8e755"
FROZEN = "41aab5b8b2230c448b572a0e9266a56a"
THAWED = "182c48d1f1016f93ab314aa273603dfb"
FREEZE_REFUSED = "d925bd5e8c7a56be01d6796d7a64495b"
RECLAIM_REFUSED = "a67c213455374a46960e8fd7c018fdc3"
WARM = "b6d815e6403b411e4dc25bd714c350aa"
LEAK = "f8bc3d4a200d8f0bf2ce77aee6878482"
ENDED = "e1e86dd2a61d1600d5a55b3ee7b3e42f"
HOLD = "e652623a06f248eea40ed18930007a96"
RELEASE = "0ab2706b94a1439eb552a8ce5a40c175"
_NOTICE, _INFO, _WARNING = 5, 6, 4


def _send(message_id: str, priority: int, message: str, fields: dict[str, object]) -> None:
    """Hand one entry to journald; fields whose value is None are left out."""
    every = {"MESSAGE": message, "MESSAGE_ID": message_id, "PRIORITY": priority, **fields}
    every["SYSLOG_IDENTIFIER"] = "projctl-agent"
    journal.sendv(*(f"{key}={value}" for key, value in every.items() if value is not None))


def idle_stop(
    instance: str, unit: str, invocation: str, decision: Decision, figures: dict[str, object]
) -> None:
    """The decision to stop an idle project, before the stop is ordered."""
    _send(
        IDLE_STOP,
        _INFO,
        f"Stopping project {instance}: not used for {decision.idle_seconds:.1f} s.",
        _fields(instance, "idle-stop", "idle", unit, invocation)
        | {
            "PROJCTL_IDLE_SECONDS": f"{decision.idle_seconds:.3f}",
            "PROJCTL_UPTIME_SECONDS": f"{decision.uptime:.3f}",
            "PROJCTL_ACTIVITY": decision.activity,
        }
        | figures,
    )


def idle_stop_refused(instance: str, unit: str, invocation: str, error: str) -> None:
    """systemd did not take the order; the run goes on."""
    text = f"Cannot stop idle project {instance}: {error}"
    _send(IDLE_STOP_REFUSED, _WARNING, text, _fields(instance, "idle-stop-refused", "idle", unit, invocation))


def no_counters(instance: str, unit: str, invocation: str) -> None:
    """The kernel counts no bytes for a project's sockets: connections and CPU time tell of its use."""
    text = (
        f"No byte counters for the sockets of project {instance}: watching connections and CPU time instead."
    )
    _send(NO_COUNTERS, _NOTICE, text, _fields(instance, "no-counters", "no-counters", unit, invocation))


def rearmed(instance: str, socket: str, result: str, times: int) -> None:
    """A socket is opened that systemd gave up."""
    _send(
        REARMED,
        _NOTICE,
        f"Opened {socket} of project {instance} again, which systemd had given up ({result}).",
        _fields(instance, "rearmed", result, f"projctl-{instance}.service", None)
        | {"PROJCTL_SOCKET": socket, "PROJCTL_FAILURES": times},
    )


def held_up(instance: str, unit: str, times: int) -> None:
    """Connections start a server again whose runs have taken none of them."""
    _send(
        HELD_UP,
        _NOTICE,
        f"Project {instance} is started for its connections again: {times} runs had ended without taking one.",
        _fields(instance, "rearmed", "untaken", unit, None) | {"PROJCTL_FAILURES": times},
    )


def frozen(instance: str, unit: str, invocation: str, quiet: float) -> None:
    """A project that nobody uses is frozen now."""
    _send(
        FROZEN,
        _INFO,
        f"Froze project {instance}: not used for {quiet:.1f} s.",
        _fields(instance, "frozen", "idle", unit, invocation) | {"PROJCTL_IDLE_SECONDS": f"{quiet:.3f}"},
    )


def thawed(instance: str, unit: str, invocation: str, reason: str, seconds: float) -> None:
    """A frozen project goes on, and what it was that called for it."""
    _send(
        THAWED,
        _INFO,
        f"Project {instance} goes on after {seconds:.1f} s of frost: {reason}.",
        _fields(instance, "thawed", reason, unit, invocation) | {"PROJCTL_FROZEN_SECONDS": f"{seconds:.3f}"},
    )


def freeze_refused(instance: str, unit: str, invocation: str, error: str) -> None:
    """A project cannot be frozen; it goes on running, and stops when its idle time is over."""
    text = f"Cannot freeze project {instance}: {error}"
    _send(FREEZE_REFUSED, _NOTICE, text, _fields(instance, "freeze-refused", "idle", unit, invocation))


def reclaim_refused(instance: str, unit: str, invocation: str, error: str) -> None:
    """A project is frozen, but its memory is not moved out of the way."""
    text = f"Cannot reclaim the memory of frozen project {instance}: {error}"
    _send(RECLAIM_REFUSED, _NOTICE, text, _fields(instance, "reclaim-refused", "idle", unit, invocation))


def warm(instance: str) -> None:
    """The hours begin in which a project is kept warm."""
    text = f"Keeping project {instance} warm: its hours have begun."
    _send(WARM, _INFO, text, _fields(instance, "warm", "window", f"projctl-{instance}.service", None))


def leak(instance: str, unit: str, invocation: str | None, processes: str, pids: str) -> None:
    """A run has ended, and some of its processes have not, or still hold its sockets."""
    _send(
        LEAK,
        _WARNING,
        f"Project {instance} has stopped, but left behind: {processes}.",
        _fields(instance, "leak", None, unit, invocation)
        | {"PROJCTL_PROCESSES": processes, "PROJCTL_PIDS": pids},
    )


def ended(
    instance: str, unit: str, invocation: str, uptime: float, idle: float | None, figures: dict[str, object]
) -> None:
    """What a run used that has ended; why it did, systemd's entries and others of ours tell."""
    _send(
        ENDED,
        _INFO,
        f"Project {instance} ran for {uptime:.1f} s.",
        _fields(instance, "ended", None, unit, invocation)
        | {
            "PROJCTL_UPTIME_SECONDS": f"{uptime:.3f}",
            "PROJCTL_IDLE_SECONDS": None if idle is None else f"{idle:.3f}",
        }
        | figures,
    )


def hold(instance: str, unit: str, invocation: str | None, ordered: Hold) -> None:
    """Somebody holds a project awake, whether it runs or not."""
    _send(
        HOLD,
        _NOTICE,
        f"Holding project {instance} awake {_until(ordered.until)}, by order of user {ordered.uid}.",
        _fields(instance, "hold", "manual", unit, invocation)
        | {
            "PROJCTL_UID": ordered.uid,
            "PROJCTL_UNTIL": None if ordered.until is None else f"{ordered.until:.3f}",
        },
    )


def release(instance: str, unit: str, invocation: str | None, ordered: Hold) -> None:
    """Somebody ended the hold on a project."""
    text = f"Project {instance} is held awake no more, by order of user {ordered.uid}."
    fields = _fields(instance, "release", "manual", unit, invocation)
    _send(RELEASE, _NOTICE, text, fields | {"PROJCTL_UID": ordered.uid})


def expired(instance: str, unit: str, invocation: str | None, ended: Hold) -> None:
    """A hold on a project has ended by its time."""
    text = f"Project {instance} is held awake no more: the time is over that user {ended.uid} gave."
    fields = _fields(instance, "release", "expired", unit, invocation)
    _send(
        RELEASE,
        _INFO,
        text,
        fields
        | {"PROJCTL_UID": ended.uid, "PROJCTL_UNTIL": None if ended.until is None else f"{ended.until:.3f}"},
    )


def _until(moment: float | None) -> str:
    if moment is None:
        return "until it is released"
    return f"until {datetime.fromtimestamp(moment).astimezone():%Y-%m-%d %H:%M:%S %Z}"


def _fields(
    instance: str, event: str, reason: str | None, unit: str, invocation: str | None
) -> dict[str, object]:
    project, number = project_and_number(instance)
    return {
        "PROJCTL_PROJECT": project,
        "PROJCTL_INSTANCE": number,
        "PROJCTL_EVENT": event,
        "PROJCTL_REASON": reason,
        "PROJCTL_UNIT": unit,
        "PROJCTL_INVOCATION_ID": invocation,
    }
