"""The steps, run as root in the machine; each shows one claim on the installed packages.

They build on each other and run in this order. The steps after the reboot are those of a second run of this file.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
import traceback
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

DISK = Path("/mnt")
SITE = Path("/srv/site")
MANIFEST = Path("/etc/projctl/projects.d/site.yaml")
MORE = MANIFEST.with_name("more.yaml")
#: What has passed before the reboot.
NOTES = Path("/var/tmp/steps.json")
#: As in boot.py.
PASSED, EXIT_PORT = 42, 0xF4
#: Seconds: for one thing that must come, and for a whole step.
PATIENCE, LONGEST = 180.0, 1200
#: What is said to have taken long.
LONG = 15.0
AGENT = (
    "projctl-agent.service",
    "projctl-agent.socket",
    "projctl-agent-metrics.socket",
    "projctl-agent-helper.socket",
)
TEXT = """\
version: 1
defaults:
  user: www-data
projects:
  shop:
    path: /srv/site
    run: gunicorn app:application
    listen: 3400
    # An emulated processor that others hold up counts that as time used.
    idle: {stop: 8s, min_uptime: 1s, busy_cpu: never}
    limits: {memory: 96M, cpu: 80%, tasks: 32}
  keeper:
    path: /srv/site
    run: gunicorn app:application
    listen: 3401
    idle: 6h
  still:
    path: /srv/site
    run: gunicorn --timeout 300 app:application
    listen: 3402
    idle: {freeze: 2s, reclaim: yes, stop: never}
"""
ADDED = """\
version: 1
projects:
  more: {path: /srv/site, run: gunicorn app:application, listen: 3403, user: www-data, idle: never}
"""
STEPS: list[Callable[[], None]] = []
AFTER_REBOOT: list[Callable[[], None]] = []


def run(*command: str, check: bool = True, **environment: str) -> str:
    """What a command printed, complaints included; how long it took where that was long."""
    begun = time.monotonic()
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False, timeout=LONGEST,
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive", "HOME": "/root", "LANG": "C.UTF-8"} | environment,
    )  # fmt: skip
    if (took := time.monotonic() - begun) > LONG:
        print(f"      {took:.0f} s: {' '.join(command)}", flush=True)
    assert not check or result.returncode == 0, f"{' '.join(command)}: {result.stdout}"
    return result.stdout.strip()


def wait_for(what: Callable[[], object], why: str) -> None:
    """Return when `what` is true."""
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, f"waited {PATIENCE:g} s for: {why}"
        time.sleep(0.2)


def shown(unit: str, name: str) -> str:
    return run("systemctl", "show", "--value", f"--property={name}", unit)


def state(unit: str) -> str:
    return shown(unit, "ActiveState")


def main_pid(unit: str) -> int:
    return int(shown(unit, "MainPID"))


def group(unit: str) -> Path:
    """The control group of a unit that runs."""
    return Path("/sys/fs/cgroup", shown(unit, "ControlGroup")[1:])


def number(file: Path, key: str = "") -> int:
    """A figure of a control group: all that a file says, or what follows a key."""
    return next(int(line.split()[-1]) for line in file.read_text().splitlines() if line.startswith(key))


def wait_until_frozen(unit: str, *, frozen: bool = True) -> None:
    stat = Path(f"/proc/{main_pid(unit)}/stat")
    wait_for(lambda: (stat.read_text().rpartition(")")[2].split()[0] == "T") is frozen, f"{unit} {frozen=}")


def get(port: int, path: str = "/") -> str:
    """The body of an answer; empty when the server ended before it could."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
            return answer.read().decode()
    except OSError:
        return ""


def metric(line: str) -> float:
    """The value of one sample, 0 when it is not there."""
    values = [
        text.rpartition(" ")[2] for text in get(9753, "/metrics").splitlines() if text.startswith(f"{line} ")
    ]
    return float(values[0]) if values else 0.0


def use_repository(name: str) -> None:
    """Let apt know the packages of one directory, and nothing else."""
    shutil.rmtree("/etc/apt/sources.list.d", ignore_errors=True)
    Path("/etc/apt/sources.list").write_text(f"deb [trusted=yes] file:{DISK}/{name} ./\n")
    run("apt-get", "update")


def wakes(port: int, unit: str) -> None:
    """Show that a connection to a sleeping project is answered by a server that it started."""
    assert state(unit) == "inactive", state(unit)
    assert get(port) == "/"
    assert state(unit) == "active"


def falls_asleep(unit: str) -> None:
    wait_for(lambda: state(unit) == "inactive", f"{unit} asleep")
    assert state(unit.replace(".service", ".socket")) == "active"


def step(function: Callable[[], None]) -> Callable[[], None]:
    STEPS.append(function)
    return function


def after_reboot(function: Callable[[], None]) -> Callable[[], None]:
    AFTER_REBOOT.append(function)
    return function


@step
def apt_installs_them() -> None:
    """apt installs projctl with its agent; all that they need is Debian 13's own"""
    use_repository("now")
    run("apt-get", "install", "--yes", "projctl")
    names = ("projctl", "projctl-agent", "python3-projctl-runtime", "python3-uvicorn", "polkitd")
    for name in names:
        assert run("dpkg-query", "--show", "--showformat=${db:Status-Status}", name) == "installed", name
    assert run("projctl", "--version").startswith("projctl, version")


@step
def agent_is_nobody() -> None:
    """the agent runs as its own user, without any capability; root and it alone reach the helper"""
    wait_for(lambda: state("projctl-agent.service") == "active", "the agent")
    status = Path(f"/proc/{main_pid('projctl-agent.service')}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(fields["Uid"].split()[0]) == pwd.getpwnam("projctl-agent").pw_uid
    assert all(int(fields[name], 16) == 0 for name in ("CapEff", "CapPrm", "CapBnd"))
    helper = Path("/run/projctl/helper.sock").stat()
    assert helper.st_mode & 0o777 == 0o600 and helper.st_uid == pwd.getpwnam("projctl-agent").pw_uid


@step
def all_is_enabled() -> None:
    """the agent and its sockets are enabled, and the catalog knows its entries"""
    for unit in AGENT:
        assert run("systemctl", "is-enabled", unit) == "enabled", unit
        assert state(unit) == "active", unit
    assert "idle" in run("journalctl", "--list-catalog", "d649923182a64247b971172f532f4fa7")


@step
def completion() -> None:
    """bash completes the verbs"""
    script = ". /usr/share/bash-completion/bash_completion; _comp_load projctl || __load_completion projctl;"
    script += "COMP_WORDS=(projctl che) COMP_CWORD=1; _projctl_completion projctl; echo ${COMPREPLY[@]}"
    assert run("bash", "-c", script) == "check"


@step
def another_copy() -> None:
    """`projctl agent install` leaves the packaged agent alone and says how to go on"""
    said = run("projctl", "agent", "install", check=False)
    assert "cannot install the agent" in said and "Traceback" not in said, said
    assert not Path("/etc/systemd/system/projctl-agent.service").exists()


@step
def apply() -> None:
    """a manifest is applied: sockets listen, no server runs"""
    SITE.mkdir()
    shutil.copy(DISK / "app.py", SITE)
    MANIFEST.write_text(TEXT)
    assert "projctl-shop.socket" in run("projctl", "apply")
    for name in ("shop", "keeper"):
        assert state(f"projctl-{name}.socket") == "active"
        assert state(f"projctl-{name}.service") == "inactive"


@step
def cold_start() -> None:
    """the first connection starts the server and is answered by it"""
    wakes(3400, "projctl-shop.service")


@step
def idle_stop() -> None:
    """the agent stops it when it is idle, the journal and the metrics say why"""
    falls_asleep("projctl-shop.service")
    assert "Stopping project shop" in run("journalctl", "PROJCTL_EVENT=idle-stop", "PROJCTL_PROJECT=shop")
    wait_for(
        lambda: metric('projctl_stops_total{project="shop",reason="idle"}') == 1, "the stop in the metrics"
    )


@step
def limits() -> None:
    """memory, CPU and task limits are the kernel's"""
    get(3400)
    place = group("projctl-shop.service")
    assert number(place / "memory.max") == 96 << 20
    assert (place / "cpu.max").read_text().split() == ["80000", "100000"]
    assert number(place / "pids.max") == 32
    assert metric('projctl_memory_bytes{project="shop"}') > 1 << 20


@step
def out_of_memory() -> None:
    """a server that takes more memory than it may is killed, told as oom, and serves the next connection"""
    assert get(3400, "/eat") == ""
    wait_for(lambda: metric('projctl_stops_total{project="shop",reason="oom"}') >= 1, "oom in the metrics")
    wait_for(lambda: get(3400) == "/", "an answer after it")


@step
def freeze() -> None:
    """an idle project freezes: it uses no CPU, and its memory is moved to swap"""
    swap = Path("/var/tmp/swap")
    swap.touch(mode=0o600)
    swap.write_bytes(bytes(128 << 20))
    run("mkswap", str(swap))
    run("swapon", str(swap))
    assert get(3402, "/keep") == "/keep"
    place = group("projctl-still.service")
    full = number(place / "memory.current")
    assert full > 32 << 20
    wait_until_frozen("projctl-still.service")
    wait_for(lambda: number(place / "memory.current") < full / 2, "less memory in use")
    assert number(place / "memory.swap.current") > 16 << 20
    used = number(place / "cpu.stat", "usage_usec")
    time.sleep(2)
    assert number(place / "cpu.stat", "usage_usec") == used
    print(f"      frozen: {full >> 20} MiB before, {number(place / 'memory.current') >> 20} MiB after")


@step
def thaw() -> None:
    """the first byte thaws it, on a new connection and on an open one; it has kept all, and stops when told to"""
    pid = main_pid("projctl-still.service")
    assert get(3402, "/kept") == str(32 << 20)
    wait_until_frozen("projctl-still.service")
    with socket.create_connection(("127.0.0.1", 3402), timeout=PATIENCE) as client:
        client.sendall(b"GET / HTTP/1.0\r\n")
        wait_until_frozen("projctl-still.service", frozen=False)
        wait_until_frozen("projctl-still.service")
        client.sendall(b"\r\n")
        assert client.makefile("rb").read().endswith(b"\r\n\r\n/")
    assert main_pid("projctl-still.service") == pid
    entries = run("journalctl", "--output=json", "PROJCTL_EVENT=thawed", "PROJCTL_PROJECT=still").splitlines()
    assert {json.loads(entry)["PROJCTL_REASON"] for entry in entries} == {"connection", "bytes"}
    wait_until_frozen("projctl-still.service")
    run("systemctl", "stop", "projctl-still.service")
    falls_asleep("projctl-still.service")


@step
def bus_restart() -> None:
    """after a restart of the system bus the agent stops what is idle again"""
    run("systemctl", "restart", "dbus.service")
    get(3400)
    falls_asleep("projctl-shop.service")


@step
def clock_forward() -> None:
    """a clock that jumps a day ahead stops nobody who is not idle"""
    get(3401)
    before = main_pid("projctl-keeper.service")
    run("date", "--set", "+1 day")
    get(3400)
    falls_asleep("projctl-shop.service")
    assert main_pid("projctl-keeper.service") == before


@step
def clock_back() -> None:
    """a clock that jumps a day back keeps nobody up who is idle"""
    before = main_pid("projctl-keeper.service")
    get(3400)
    run("date", "--set", "-1 day")
    falls_asleep("projctl-shop.service")
    assert main_pid("projctl-keeper.service") == before


@step
def upgrade() -> None:
    """an upgrade restarts the agent and touches no project: processes and sockets stay"""

    def sockets() -> list[str]:
        names = ("projctl-shop", "projctl-keeper", "projctl-agent", "projctl-agent-metrics")
        return [shown(f"{name}.socket", "InvocationID") for name in names]

    keeper, agent, opened = main_pid("projctl-keeper.service"), main_pid("projctl-agent.service"), sockets()
    use_repository("later")
    run("apt-get", "install", "--yes", "projctl", "projctl-agent")
    assert "99.0.0" in run("projctl", "--version")
    assert main_pid("projctl-keeper.service") == keeper and sockets() == opened
    wait_for(lambda: state("projctl-agent.service") == "active", "the agent")
    assert main_pid("projctl-agent.service") != agent
    wait_for(lambda: metric('projctl_build_info{version="99.0.0"}') == 1, "the new agent's metrics")


@step
def older_units() -> None:
    """units of the older version are taken over by the next apply, without a restart"""
    unit = Path("/etc/systemd/system/projctl-keeper.service")
    before = main_pid("projctl-keeper.service")
    assert "projctl 99.0.0" not in unit.read_text().splitlines()[0]
    run("projctl", "apply")
    assert "projctl 99.0.0" in unit.read_text().splitlines()[0]
    assert main_pid("projctl-keeper.service") == before
    assert run("projctl", "diff") == ""


@step
def autopkgtest() -> None:
    """the test that the Debian packages bring along passes"""
    run("sh", str(DISK / "serve"))


@step
def generator() -> None:
    """where the systemd generator is enabled, a manifest and a daemon-reload are enough"""
    Path("/etc/projctl/generator.conf").write_text("[Generator]\nEnabled=yes\n")
    assert run("projctl", "apply") == "nothing to change"
    MORE.write_text(ADDED)
    run("systemctl", "daemon-reload")
    wait_for(lambda: state("projctl-more.socket") == "active", "the socket of the generated project")
    wakes(3403, "projctl-more.service")
    assert "No entries" in run("journalctl", "--identifier=projctl-generator", check=False)


@after_reboot
def reboot() -> None:
    """after a reboot the sockets listen and no server runs"""
    for name, port in (("shop", 3400), ("keeper", 3401), ("more", 3403)):
        assert state(f"projctl-{name}.socket") == "active"
        wakes(port, f"projctl-{name}.service")
    assert metric('projctl_stops_total{project="shop",reason="oom"}') >= 1
    falls_asleep("projctl-shop.service")


@after_reboot
def removal() -> None:
    """removal says that projects keep serving, and they do: those that run, and those that sleep"""
    before = main_pid("projctl-keeper.service")
    said = run("apt-get", "remove", "--yes", "projctl", "projctl-agent")
    assert "projects keep serving" in said, said
    assert "kept projctl-more.socket" in said, said
    assert main_pid("projctl-keeper.service") == before
    run("systemctl", "stop", "projctl-more.service")
    wakes(3403, "projctl-more.service")
    assert state("projctl-agent.service") == "inactive"
    wakes(3400, "projctl-shop.service")


@after_reboot
def purge() -> None:
    """purging removes the agent's state, and neither a manifest nor the record of ports in use"""
    assert Path("/var/lib/projctl-agent").exists()
    run("apt-get", "purge", "--yes", "projctl", "projctl-agent")
    assert not Path("/var/lib/projctl-agent").exists()
    assert MANIFEST.read_text() == TEXT and Path("/var/lib/projctl/ports.json").exists()
    assert get(3400) == "/"


@after_reboot
def pipx() -> None:
    """by pipx from the wheel, below /root: `agent install` runs that copy, `agent uninstall` leaves nothing of it"""
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/usr/share/python-wheels", "PIP_NO_COMPILE": "1"}
    (wheel,) = DISK.glob("*.whl")
    run("pipx", "install", "--system-site-packages", f"{wheel}[agent]", **offline)
    program = "/root/.local/bin/projctl"
    assert run(program, "--version").startswith("projctl, version")
    assert "ListenStream=3400" in run(program, "render", "--file", str(MANIFEST))
    run(program, "agent", "install")
    assert "/root/.local/share/pipx/venvs/projctl/bin/" in shown("projctl-agent.service", "ExecStart")
    assert get(3400) == "/"
    falls_asleep("projctl-shop.service")
    run(program, "agent", "uninstall")
    assert not list(Path("/etc").rglob("*projctl-agent*"))
    run(program, "agent", "install")


@after_reboot
def comes_back() -> None:
    """installed again it takes its projects over as they are, and removes them when their manifest is gone"""
    before = main_pid("projctl-keeper.service")
    # The copy by pipx goes before the packaged one until its agent is uninstalled.
    assert "of another copy hides the packaged one" in run("apt-get", "install", "--yes", "projctl")
    assert "2 copies" in run("projctl", "doctor", check=False)
    cure = "systemctl enable --now projctl-agent.service"
    assert run("projctl", "agent", "uninstall").endswith(f"to use the packaged one: {cure}")
    run(*cure.split())
    assert {state(unit) for unit in AGENT} == {"active"}
    assert run("projctl", "diff") == "" and main_pid("projctl-keeper.service") == before
    MANIFEST.unlink()
    MORE.unlink()
    run("projctl", "apply")
    assert (
        not list(Path("/etc/systemd/system").glob("projctl-*.s*"))
        and state("projctl-keeper.service") == "inactive"
    )


def passes(function: Callable[[], None], rows: list[list[str]]) -> bool:
    """Run one step, print its line, and on a failure what systemd's journal tells."""
    begun = time.monotonic()
    signal.alarm(LONGEST)
    try:
        function()
        verdict = "ok"
    except Exception:
        signal.alarm(0)
        verdict = "FAILED"
        traceback.print_exc()
        print(run("journalctl", "--boot", "--no-pager", "--lines=60", check=False))
    signal.alarm(0)
    rows.append([verdict, f"{time.monotonic() - begun:5.0f} s", str(function.__doc__)])
    print("  ".join(rows[-1]), flush=True)
    return verdict == "ok"


def give_up(*_: object) -> None:
    raise TimeoutError(f"the step took longer than {LONGEST} s")


def leave() -> None:
    """End QEMU with the status that only this gives. The kernel has no /dev/port, so it takes an instruction."""
    ctypes.CDLL(None).ioperm(EXIT_PORT, 1, 1)
    # mov dx, di; mov al, sil; out dx, al; ret
    code = bytes.fromhex("6689fa4088f0eec3")
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    ctypes.CFUNCTYPE(None, ctypes.c_uint16, ctypes.c_uint8)(address)(EXIT_PORT, PASSED)


def main() -> None:
    rows: list[list[str]] = json.loads(NOTES.read_text()) if NOTES.exists() else []
    steps = AFTER_REBOOT if rows else STEPS
    signal.signal(signal.SIGALRM, give_up)
    kernel, systemd = run("uname", "--release"), run("systemctl", "--version").splitlines()[0]
    print(f"the steps begin: Linux {kernel}, {systemd}", flush=True)
    good = all(passes(function, rows) for function in steps)
    if good and steps is STEPS:
        NOTES.write_text(json.dumps(rows))
        run("systemctl", "reboot")
        return
    print("\n" + "\n".join("  ".join(row) for row in rows), flush=True)
    if good:
        leave()
    run("systemctl", "poweroff", "--force")


if __name__ == "__main__":
    main()
