"""The lab: a private, throw-away, real systemd that shows the host's files and leaves nothing behind."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from projctl.diagnostics import ProjctlError
from projctl.lab import host, kernel
from projctl.lab.commands import Command, Entrance, Stream
from projctl.lab.order import CGROUPS, COMMANDS_UNIT, PATH, Network, Order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

#: Seconds a lab may take to boot.
BOOT_TIMEOUT = 60.0


class Lab:
    """A booted lab; close it, or use it as a context manager.

    It shows the host's files at the same paths (`/run`, `/proc`, `/sys` and `/dev` are its own); what is
    written to them stays in memory and goes with the lab. Hidden are the host's enabled units, its journal
    and what projctl keeps on it. The lab dies with the process that booted it, however that ends.
    """

    def __init__(
        self, name: str, supervisor: subprocess.Popen[bytes], control: socket.socket, console: int
    ) -> None:
        self.name = name
        self.leader = 0
        self._supervisor = supervisor
        self._control = control
        self._console = console
        self._said = ""
        self._commands = itertools.count()

    @classmethod
    def boot(
        cls, binds: Sequence[Path] = (), network: Network = "private", *, overlays: Sequence[Path] = ()
    ) -> Self:
        """Boot a lab and wait until it is up; raises ProjctlError with what it said last.

        `binds` are shared with the host in both directions: what the lab writes there stays. `overlays` are
        for paths below /run, which a lab does not show otherwise; what is written there is lost.
        `private` is a network of its own with nothing but loopback, `host` the host's.
        """
        host.check([*binds, *overlays])
        name = f"projctl-lab-{os.getpid()}-{secrets.token_hex(3)}-{kernel.pid_namespace()}"
        ours, theirs = socket.socketpair()
        console = os.memfd_create("lab-console")
        shared, shown = ([str(path.resolve()) for path in paths] for paths in (binds, overlays))
        order = Order(name, os.getpid(), theirs.fileno(), console, network, shared, shown)
        try:
            with theirs:
                supervisor = _supervisor(order)
            lab = cls(name, supervisor, ours, console)
        except BaseException:
            ours.close()  # the supervisor, if there is one, sees that and ends
            os.close(console)
            raise
        try:
            lab._wait_for_boot()
        except BaseException:
            lab.close()
            raise
        return lab

    def _wait_for_boot(self) -> None:
        deadline = time.monotonic() + BOOT_TIMEOUT
        ready = False
        pending = b""
        while not (ready and self.leader):
            self._control.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                data = self._control.recv(65536)
            except TimeoutError:
                raise self.failure(f"it was not up after {BOOT_TIMEOUT:g} s") from None
            *lines, pending = (pending + data).split(b"\n")
            for message in map(json.loads, lines):
                self.leader = message.get("leader", self.leader)
                ready = ready or message.get("ready", False)
                if "error" in message:
                    raise self.failure(message["error"])
            if not data:
                raise self.failure("its supervisor died")

    def failure(self, what: str) -> ProjctlError:
        """The error that the lab failed by `what`, with the last lines of its console."""
        said = "".join(f"\n    {line}" for line in self.console().splitlines()[-15:])
        return ProjctlError(f"cannot run the lab: {what}" + (f"; it said last:{said}" if said else ""))

    def console(self) -> str:
        """All that the lab has written to its console."""
        return self._said if self._control.fileno() < 0 else self._read_console()

    def _read_console(self) -> str:
        return os.pread(self._console, 1 << 24, 0).decode(errors="replace").replace("\r", "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the lab away and wait until nothing of it is left; may be called again."""
        if self._control.fileno() >= 0:
            with contextlib.suppress(OSError):
                self._control.shutdown(socket.SHUT_RDWR)  # closing is not enough where a fork holds a copy
            self._control.close()
            self._supervisor.wait()
            self._said = self._read_console()
            os.close(self._console)

    @property
    def alive(self) -> bool:
        """Whether it still runs; it ends early when its systemd powers off."""
        return self._supervisor.poll() is None

    def wait(self) -> None:
        """Wait until it ends by itself."""
        self._supervisor.wait()

    def popen(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: str | Path = "/",
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
    ) -> Command:
        """Start a command in the lab; raises ProjctlError when the lab has ended.

        `env` is its whole environment, by default a PATH and little more. `user` is the user it runs as,
        with HOME and XDG_RUNTIME_DIR set for it. It runs in a cgroup of its own below `lab-commands.service`.
        """
        try:
            entrance = self.entrance()
            environment = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8"} if env is None else env
            words = [str(word) for word in argv]
            return Command(entrance, words, str(cwd), user, environment, (stdin, stdout, stderr))
        except (FileNotFoundError, ProcessLookupError):
            raise self.failure("its systemd has ended") from None

    def entrance(self) -> Entrance:
        """The next command's way in: the cgroups as the supervisor sees them, for the host's may be v1."""
        table = Path(f"/proc/{self.leader}/cgroup").read_text().splitlines()
        payload = next(line for line in table if line.startswith("0::")).removeprefix("0::/")
        cgroups = Path(f"/proc/{self._supervisor.pid}/root{CGROUPS}")
        unit = cgroups / payload.removesuffix("/init.scope") / "system.slice" / COMMANDS_UNIT
        return Entrance(self.leader, unit / str(next(self._commands)))

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        timeout: float = 60.0,
        check: bool = True,
        cwd: str | Path = "/",
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        input: str | None = None,  # noqa: A002 - subprocess.run's name for it
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the lab to its end, output captured; see popen.

        Raises ProjctlError when `check` and it fails, subprocess.TimeoutExpired after `timeout` seconds,
        when it and all it started have been killed.
        """
        pipe = subprocess.PIPE
        stdin = subprocess.DEVNULL if input is None else pipe
        with self.popen(argv, cwd=cwd, env=env, user=user, stdin=stdin, stdout=pipe, stderr=pipe) as command:
            try:
                stdout, stderr = command.communicate(input, timeout=timeout)
            except BaseException:
                command.kill()
                raise
        command.forget()
        result = subprocess.CompletedProcess([str(word) for word in argv], command.returncode, stdout, stderr)
        if check and result.returncode:
            said = (stderr or stdout).strip()
            raise ProjctlError(
                f"{' '.join(result.args)}: ended with status {result.returncode} in the lab: {said}"
            )
        return result

    def new_socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A new socket in the lab's network, for use by the caller outside."""
        made: list[socket.socket] = []

        def make() -> None:
            with Path(f"/proc/{self.leader}/ns/net").open("rb") as namespace:
                kernel.setns(namespace.fileno(), kernel.CLONE_NEWNET)
            made.append(socket.socket(family, kind))

        # a thread of its own, because setns(2) moves the whole thread that calls it
        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if not made:
            raise ProjctlError("cannot enter the lab's network: the lab is gone")
        return made[0]

    def connect(self, port: int, host: str = "127.0.0.1", timeout: float = 30.0) -> socket.socket:
        """A TCP connection to an address in the lab's network; raises OSError."""
        connection = self.new_socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        connection.settimeout(timeout)
        try:
            connection.connect((host, port))
        except BaseException:
            connection.close()
            raise
        return connection

    def file(self, path: str | Path) -> Path:
        """Where the caller outside finds a file of the lab; symbolic links to absolute paths lead astray."""
        return Path(f"/proc/{self.leader}/root") / str(path).lstrip("/")

    def write(self, path: str | Path, text: str, mode: int = 0o644) -> None:
        """Write a file in the lab, and the directories above it."""
        file = self.file(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)


def _supervisor(order: Order) -> subprocess.Popen[bytes]:
    package = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-sBP", "-m", "projctl.lab.supervisor", order.dump()],
        env={"PATH": PATH, "PYTHONPATH": str(package), "LANG": "C.UTF-8"},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=order.console,
        stderr=order.console,
        pass_fds=[order.control, order.console],
        start_new_session=True,
    )
