"""The process around one trial: starts the server, watches it, ends it and all its children, tells the verdict.

A process of its own, in a session of its own, so that neither Ctrl-C nor the death of projctl keeps it from
cleaning up: it stays only as long as its standard input is open. Orphans of the server become its children,
and the server dies with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import sys
import tempfile
import time
from typing import Any

from projctl.lab import kernel
from projctl.preflight import apart, child, processes
from projctl.preflight.probe import Probe, free_port, open_listener
from projctl.preflight.verdict import Outcome, Verdict

_STEP = 0.03
#: Seconds between two looks at all processes.
_PAUSE = 0.2
_LINES = 12
_KEPT = 16384
#: Seconds without CPU use after which a server that opened a port of its own is done with starting.
_SETTLED = 2.0
_LEAVE = 2.0
#: What a server says that asked for the address of another machine, where none can be reached.
_UNRESOLVED = b"host not found"


class AbandonedError(Exception):
    """Whoever asked for the trial is gone."""


class Trial:
    """One start of one server."""

    def __init__(self, order: dict[str, Any], directory: str) -> None:
        self._order = order
        self._timeout = float(order["timeout"])
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._notify.bind("")  # the kernel gives it a free name
        self._ready = not order["notifies"]
        host = order["host"]
        self.port = free_port(host or "127.0.0.1")
        self._listeners = [apart.open_listener(stream) for stream in order["apart"]] or [
            open_listener(stand["host"], directory) for stand in order["sockets"]
        ]
        names = [stand["name"] for stand in order["sockets"]]
        self._probes = [Probe(*pair) for pair in zip(names, self._listeners, strict=True)]
        if host is not None:
            self._probes = [Probe("", None, (host, self.port))]
        self._own: int | None = None
        self._looked = 0.0
        self._busy = (0, 0.0)
        self._said = b""

    def run(self) -> Verdict:
        """Start the server and watch it until there is a verdict; nothing of it is left afterwards."""
        for name in self._order["ports"]:
            port = self.port if name == "PORT" else free_port("127.0.0.1")
            self._order["environment"][name] = str(port)
        notify = "@" + self._notify.getsockname()[1:].decode() if self._order["notifies"] else None
        output, theirs = os.pipe()
        try:
            self._pid = child.start(self._order, self._listeners, notify, theirs)
        except OSError as error:
            return Verdict("broken", text=(error.strerror or str(error)).lower())
        finally:
            os.close(theirs)
        patience = 0.0
        try:
            outcome = self._watch(output)
            patience = _LEAVE
        finally:
            for probe in self._probes:
                probe.close_client()
            processes.end(self._pid, signal.Signals[self._order["stop_signal"]], patience)
        self._drain(output)
        return self._told(outcome)

    def _told(self, outcome: Verdict) -> Verdict:
        lines = self._said.decode(errors="replace").rstrip().splitlines()[-_LINES:]
        if self._order["apart"] and outcome.outcome == "exited" and _UNRESOLVED in self._said:
            outcome = Verdict("untold")
        return Verdict(**{**outcome.dump(), "said": tuple(lines), "given": self.port})  # type: ignore[arg-type]

    def _watch(self, output: int) -> Verdict:
        os.set_blocking(output, False)
        deadline = time.monotonic() + self._timeout
        while True:
            if select.select([sys.stdin], [], [], _STEP)[0]:
                raise AbandonedError
            self._drain(output)
            if found := self._verdict(time.monotonic() >= deadline):
                return found

    def _verdict(self, over: bool) -> Verdict | None:
        for probe in self._probes:
            probe.look()
        self._hear()
        answered = all(probe.answered for probe in self._probes)
        if answered and self._ready:
            return Verdict("took")
        pid, status = self._reap()
        if pid:
            left = bool(processes.descendants())
            return Verdict("left" if left else "exited", status=os.waitstatus_to_exitcode(status))
        if self._own_port(over) and not answered:
            return Verdict("own-port", port=self._own)
        return self._late(answered) if over else None

    def _late(self, answered: bool) -> Verdict | None:
        if all(probe.taken for probe in self._probes) and self._ready:
            return Verdict("took")
        outcome: Outcome = "not-ready" if answered else "never"
        silent = next((probe.name for probe in self._probes if not probe.answered), "")
        text = silent if len(self._probes) > 1 else ""
        return Verdict(outcome, seconds=self._timeout, text=text)

    def _reap(self) -> tuple[int, int]:
        """The server's pid and status once it has ended; orphans of it are reaped on the way."""
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid in (0, self._pid):
                return pid, status

    def _own_port(self, over: bool) -> bool:
        """Whether it serves on a port of its own, as far as can be told by now; looks not at every call."""
        if over or time.monotonic() - self._looked >= _PAUSE:
            self._looked = time.monotonic()
            return (self._has_settled() or over) and self._own is not None
        return False

    def _has_settled(self) -> bool:
        """Whether it has opened a port of its own, and has had nothing to do since."""
        tree = processes.descendants()
        mine = {os.fstat(listener.fileno()).st_ino for listener in self._listeners}
        held = processes.open_sockets(list(tree)) - mine
        ports = sorted(port for inode, (port, _) in processes.listening().items() if inode in held)
        if self._order["host"] is not None and self.port in ports:
            ports = []
        self._own = ports[0] if ports else None
        now, ticks = time.monotonic(), sum(tree.values())
        # One tick is what looking at a clock costs.
        if not ports or ticks > self._busy[0] + 1:
            self._busy = ticks, now
        return now - self._busy[1] >= _SETTLED

    def _hear(self) -> None:
        """Whether the server itself has said READY=1; from its children systemd takes no word either."""
        while select.select([self._notify], [], [], 0)[0]:
            data, notes, _, _ = self._notify.recvmsg(4096, socket.CMSG_SPACE(12))
            senders = [struct.unpack("3i", note[2][:12])[0] for note in notes if len(note[2]) >= 12]
            if senders == [self._pid] and b"READY=1" in data.split(b"\n"):
                self._ready = True

    def _drain(self, output: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(output, 65536):
                self._said = (self._said + data)[-_KEPT:]


def main() -> None:
    """Carry out the order that the first line of standard input holds, print the verdict as JSON."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    kernel.adopt_orphans()
    # Unbuffered, so that what select() sees is all there is.
    order = json.loads(_line(sys.stdin.fileno()))
    with tempfile.TemporaryDirectory(prefix="projctl-preflight-") as directory:
        os.chmod(directory, 0o755)  # noqa: PTH101, S103 - the project's user must find its socket there
        with contextlib.suppress(AbandonedError):
            if order["state_directory"]:
                order["environment"]["STATE_DIRECTORY"] = child.make_own(f"{directory}/state", order)
            print(json.dumps(_tried(order, directory).dump()))  # noqa: T201


def _tried(order: dict[str, Any], directory: str) -> Verdict:
    if order["apart"]:
        try:
            apart.enter(order["apart"])
        except PermissionError:
            return Verdict("untold")
    return Trial(order, directory).run()


def _line(descriptor: int) -> bytes:
    found = b""
    while not found.endswith(b"\n"):
        data = os.read(descriptor, 1)
        if not data:
            sys.exit(1)
        found += data
    return found


if __name__ == "__main__":
    main()
