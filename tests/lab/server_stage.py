"""A server case applied in a lab, and what can be asked of it and seen of it there."""

from __future__ import annotations

import ctypes
import json
import os
import re
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from server_cases import ODD
from steps import ENVIRONMENT, let_everybody_in, projctl, properties, wait_for, write

from projctl import unitfile

if TYPE_CHECKING:
    from server_cases import Answer, Case

    from projctl.lab import Lab

CLIENT = Path(__file__).with_name("server_client.py")
HEAD = ("server", "backlog", "afterwards", "stops", "requests", "lost")
_PIDFD_GETFD = 438
#: Seconds between two stops: 20 starts within two seconds would reach the socket's trigger limit.
_PACE = 0.12


@dataclass
class Figures:
    """What was seen of one server: backlogs of its first socket, and requests lost at stops, by how they ended."""

    backlog_before: int = 0
    backlog_after: int = 0
    stops: int = 0
    requests: int = 0
    lost: dict[str, int] = field(default_factory=dict)

    @property
    def lost_in_all(self) -> int:
        return sum(self.lost.values())

    def row(self, name: str) -> tuple[object, ...]:
        """As a row below HEAD."""
        backlogs = self.backlog_before, self.backlog_after
        return (name, *backlogs, self.stops, self.requests, self.lost_in_all)


@dataclass
class Stage:
    """A case with its own manifest and ports in a lab; `place` is a directory that the lab sees too."""

    lab: Lab
    case: Case
    port: int
    place: Path
    figures: Figures = field(default_factory=Figures)

    @property
    def name(self) -> str:
        return f"case-{self.case.name}"

    @property
    def ports(self) -> range:
        return range(self.port, self.port + self.case.sockets)

    @property
    def service(self) -> str:
        return f"projctl-{self.name}.service"

    @property
    def adapter(self) -> str:
        """What its unit says who runs it."""
        unit = self.lab.file(f"/etc/systemd/system/{self.service}").read_text()
        return dict(unitfile.parse(unit)["X-Projctl"])["Adapter"]

    def __enter__(self) -> Self:
        """Write the case's files and its manifest, and apply that."""
        let_everybody_in(self.lab)
        if self.case.prepare:
            self.place.mkdir()
            self.case.prepare(self.place)
        listen: Any = {f"s{i}": port for i, port in enumerate(self.ports)}
        env = {**self.case.project.get("env", {}), "ODD": ODD}
        project = {"path": str(self.place), **self.case.project, "env": env}
        manifest = f"/etc/projctl/cases/{self.name}.yaml"
        write(
            self.lab, {self.name: {**project, "listen": listen if len(listen) > 1 else self.port}}, manifest
        )
        projctl(self.lab, "apply", "-f", manifest)
        self.figures.backlog_before = self.backlog()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def ask(self, path: str = "/", port: int | None = None) -> Answer:
        """One request on a connection of its own."""
        with self.lab.connect(port or self.port, timeout=60) as connection:
            return self.case.exchange(connection, path)

    def told(self) -> dict[str, Any]:
        """What the application sees of its process, or where it cannot tell, what the kernel does."""
        answer = self.ask("/env" if self.case.tells else "/")
        return json.loads(answer.body) if self.case.tells else self._seen()

    def _seen(self) -> dict[str, Any]:
        units = (f"projctl-{self.name}.backend.service", self.service)
        found = [properties(self.lab, unit, "MainPID")["MainPID"] for unit in units]
        process = self.lab.file(f"/proc/{next(pid for pid in found if pid != '0')}")
        env, argv = ((process / name).read_text().split("\0")[:-1] for name in ("environ", "cmdline"))
        return {"env": dict(pair.partition("=")[::2] for pair in env), "argv": argv}

    def stop(self) -> None:
        """Stop the service as the agent does; the socket stays."""
        self.lab.run(["systemctl", "stop", self.service], timeout=120)

    def state(self, *names: str) -> tuple[str, ...]:
        """Properties of its service (the proxy, where there is one)."""
        found = properties(self.lab, self.service, *names)
        return tuple(found[name] for name in names)

    def backlog(self) -> int:
        """How many connections its first socket queues, as the kernel holds it."""
        shown = self.lab.run(["ss", "-Hltn", f"sport = :{self.port}"]).stdout.split()
        return int(shown[2])

    def journal(self) -> str:
        """All its services have written."""
        self.lab.run(["journalctl", "--sync"])
        return self.lab.run(["journalctl", "-o", "cat", f"--unit=projctl-{self.name}*.service"]).stdout

    def no_delay(self) -> bool:
        """Whether Nagle is off on a connection that the server has accepted: its own descriptor is asked."""
        with self.lab.connect(self.port) as connection:
            port = connection.getsockname()[1]
            wait_for(lambda: self._inode(port) != 0)
            with _stolen(self._inode(port)) as accepted:
                return bool(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def _inode(self, client: int) -> int:
        """The server's end of the connection from this port; 0 while it is not accepted."""
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/{self.lab.leader}/net/{table}").read_text().splitlines()[1:]:
                words = line.split()
                ours, theirs = (int(word.rpartition(":")[2], 16) for word in words[1:3])
                if (ours, theirs) == (self.port, client):
                    return int(words[9])
        return 0

    def burst(self, count: int) -> dict[str, int]:
        """Open `count` connections and ask on all at once; how many ended how."""
        words = [sys.executable, str(CLIENT), "burst", self.case.name, str(self.port), str(count)]
        ends: dict[str, int] = json.loads(self.lab.run(words, env=ENVIRONMENT, timeout=120).stdout)
        return ends

    def stop_under_stream(self, stops: int) -> None:
        """Stop it again and again while clients ask without a pause; the figures tell what was lost."""
        words = [sys.executable, str(CLIENT), "stream", self.case.name, str(self.port)]
        pipe = subprocess.PIPE
        with self.lab.popen(words, env=ENVIRONMENT, stdin=pipe, stdout=pipe, stderr=pipe) as clients:
            try:
                for _ in range(stops):
                    self._wait_until_it_answers()
                    time.sleep(_PACE)
                    self.stop()
                self._wait_until_it_answers()
                said, problems = clients.communicate("", timeout=120)
            except BaseException:
                clients.kill()
                raise
        assert said, problems
        ends: dict[str, int] = json.loads(said)
        self.figures.stops = stops
        self.figures.requests = sum(ends.values())
        self.figures.lost = {end: count for end, count in ends.items() if end != "200"}

    def _wait_until_it_answers(self) -> None:
        def answers() -> bool:
            try:
                return self.ask().status == 200
            except Exception:
                return False  # lost like any other, and asked again

        wait_for(answers, 60)


def _stolen(inode: int) -> socket.socket:
    """A duplicate of the descriptor that some process holds of this socket (pidfd_getfd(2))."""
    link = f"socket:[{inode}]"
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if entry.readlink() != Path(link):
                continue
        except OSError:
            continue
        match = re.fullmatch(r"/proc/([0-9]+)/fd/([0-9]+)", str(entry))
        assert match
        process = os.pidfd_open(int(match[1]))
        try:
            found = ctypes.CDLL(None, use_errno=True).syscall(_PIDFD_GETFD, process, int(match[2]), 0)
        finally:
            os.close(process)
        if found < 0:
            raise OSError(ctypes.get_errno(), "cannot duplicate the server's descriptor")
        return socket.socket(fileno=found)
    raise AssertionError(f"no process holds socket {inode}")
