"""How a process ended, in words: exit statuses and signals as systemd tells of them."""

from __future__ import annotations

import signal

#: What systemd calls them in the journal, and waitid(2) in numbers.
CODES = {"exited": 1, "killed": 2, "dumped": 3}
_EXITED, _DUMPED = CODES["exited"], CODES["dumped"]
#: What a unit's result means; others are told by the process.
RESULTS = {
    "timeout": "not ready in time",
    "protocol": "ended before it was ready",
    "resources": "systemd lacks what it needs to start it",
    "watchdog": "gave no sign of life",
    "oom-kill": "out of memory",
}
#: What systemd could not do before the program began (systemd.exec(5), "Process Exit Codes").
_STATUSES = {
    200: "cannot enter its directory",
    203: "cannot run its program",
    216: "cannot take on its group",
    217: "cannot take on its user",
    226: "cannot set up its sandbox",
}


def describe(code: int, status: int) -> str:
    """The end of a process with this code and status of waitid(2)."""
    if code == _EXITED:
        word = _STATUSES.get(status)
        return f"{word} (exit status {status})" if word else f"exit status {status}"
    try:
        name = signal.Signals(status).name
    except ValueError:
        name = f"signal {status}"
    return f"killed by {name}" + (", core dumped" if code == _DUMPED else "")


def explain(reason: str, result: str, said: str) -> str:
    """Why a run went wrong: `reason` is ours, `result` the unit's, `said` how its first process that failed ended."""
    if reason in {"start_timeout", "stop_timeout"}:
        return RESULTS["timeout"] if reason == "start_timeout" else "did not stop in time"
    return RESULTS.get(result) or said or result or reason
