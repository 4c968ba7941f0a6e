"""The steps from an empty machine to its reboot; they build on each other and run in this order."""

from __future__ import annotations

import json
import pwd
import shutil
import socket
import time
from pathlib import Path

from machine import (
    AGENT,
    DISK,
    MANIFEST,
    MORE,
    PATIENCE,
    TEXT,
    at_rest,
    counts_one_more,
    falls_asleep,
    get,
    group,
    main_pid,
    metric,
    number,
    run,
    shown,
    state,
    totals,
    use_repository,
    wait_for,
    wait_until_frozen,
    wakes,
)

SITE = Path("/srv/site")
CAP_FOWNER, CAP_KILL, CAP_SYS_PTRACE = 3, 5, 19
ADDED = """\
version: 1
projects:
  more: {path: /srv/site, run: gunicorn app:application, listen: 3403, user: www-data, idle: never}
"""
#: Ends at once and takes no connection.
SHY = """\
version: 1
projects:
  shy: {path: /srv/site, run: [/bin/true], server: native, listen: 3404, idle: never}
"""


def apt_installs_them() -> None:
    """apt installs projctl with its agent; all that they need is Debian 13's own"""
    use_repository("now")
    run("apt-get", "install", "--yes", "projctl")
    names = ("projctl", "projctl-agent", "python3-projctl-runtime", "python3-uvicorn", "polkitd")
    for name in names:
        assert run("dpkg-query", "--show", "--showformat=${db:Status-Status}", name) == "installed", name
    assert run("projctl", "--version").startswith("projctl, version")


def agent_is_nobody() -> None:
    """the agent runs as its own user, without any capability; root and it alone reach the helper"""
    wait_for(lambda: state("projctl-agent.service") == "active", "the agent")
    status = Path(f"/proc/{main_pid('projctl-agent.service')}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(fields["Uid"].split()[0]) == pwd.getpwnam("projctl-agent").pw_uid
    assert all(int(fields[name], 16) == 0 for name in ("CapEff", "CapPrm", "CapBnd"))
    helper = Path("/run/projctl/helper.sock").stat()
    assert helper.st_mode & 0o777 == 0o600 and helper.st_uid == pwd.getpwnam("projctl-agent").pw_uid


def all_is_enabled() -> None:
    """the agent and its sockets are enabled, and the catalog knows its entries"""
    for unit in AGENT:
        assert run("systemctl", "is-enabled", unit) == "enabled", unit
        assert state(unit) == "active", unit
    assert "idle" in run("journalctl", "--list-catalog", "d649923182a64247b971172f532f4fa7")


def completion() -> None:
    """bash completes the verbs"""
    script = ". /usr/share/bash-completion/bash_completion; _comp_load projctl || __load_completion projctl;"
    script += "COMP_WORDS=(projctl che) COMP_CWORD=1; _projctl_completion projctl; echo ${COMPREPLY[@]}"
    assert run("bash", "-c", script) == "check"


def another_copy() -> None:
    """`projctl agent install` leaves the packaged agent alone and says how to go on"""
    said = run("projctl", "agent", "install", check=False)
    assert "cannot install the agent" in said and "Traceback" not in said, said
    assert not Path("/etc/systemd/system/projctl-agent.service").exists()


def apply() -> None:
    """a manifest is applied: sockets listen, no server runs"""
    SITE.mkdir()
    shutil.copy(DISK / "app.py", SITE)
    MANIFEST.write_text(TEXT)
    assert "projctl-shop.socket" in run("projctl", "apply")
    for name in ("shop", "keeper"):
        assert state(f"projctl-{name}.socket") == "active"
        assert state(f"projctl-{name}.service") == "inactive"


def cold_start() -> None:
    """the first connection starts the server and is answered by it"""
    wakes(3400, "projctl-shop.service")


def idle_stop() -> None:
    """the agent stops it when it is idle, the journal and the metrics say why"""
    falls_asleep("projctl-shop.service")
    assert "Stopping project shop" in run("journalctl", "PROJCTL_EVENT=idle-stop", "PROJCTL_PROJECT=shop")
    wait_for(
        lambda: metric('projctl_stops_total{project="shop",reason="idle"}') == 1, "the stop in the metrics"
    )


def limits() -> None:
    """memory, CPU and task limits are the kernel's"""
    get(3400)
    place = group("projctl-shop.service")
    assert number(place / "memory.max") == 96 << 20
    assert (place / "cpu.max").read_text().split() == ["80000", "100000"]
    assert number(place / "pids.max") == 32
    assert metric('projctl_memory_bytes{project="shop"}') > 1 << 20


def out_of_memory() -> None:
    """a server that takes more memory than it may is killed, told as oom, and serves the next connection"""
    assert get(3400, "/eat") == ""
    wait_for(lambda: metric('projctl_stops_total{project="shop",reason="oom"}') >= 1, "oom in the metrics")
    wait_for(lambda: get(3400) == "/", "an answer after it")


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
    rights = Path(f"/proc/{main_pid('projctl-agent-helper.service')}/status").read_text()
    assert f"CapBnd:\t{1 << CAP_FOWNER | 1 << CAP_KILL | 1 << CAP_SYS_PTRACE:016x}\n" in rights
    wait_for(lambda: number(place / "memory.current") < full / 2, "less memory in use")
    assert number(place / "memory.swap.current") > 16 << 20
    used = number(place / "cpu.stat", "usage_usec")
    time.sleep(2)
    assert number(place / "cpu.stat", "usage_usec") == used
    print(f"      frozen: {full >> 20} MiB before, {number(place / 'memory.current') >> 20} MiB after")


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


def taking_nothing() -> None:
    """a server that ends without taking its connection is held up longer and longer; its socket stays open"""
    MORE.write_text(SHY)
    run("projctl", "apply", "--no-preflight")
    with socket.create_connection(("127.0.0.1", 3404), timeout=PATIENCE):
        wait_for(lambda: "without taking its connection" in run("projctl", "status", "shy"), "what happened")
        wait_for(lambda: metric('projctl_rearmed_sockets_total{project="shy"}') >= 2, "two pauses")
        assert state("projctl-shy.socket") == "active"
    MORE.unlink()
    run("projctl", "apply")


def bus_restart() -> None:
    """after a restart of the system bus the agent stops what is idle again, counts that, and stops nothing in use"""
    get(3401)
    before, keeper = at_rest("shop"), main_pid("projctl-keeper.service")
    run("systemctl", "restart", "dbus.service")
    get(3400)
    falls_asleep("projctl-shop.service")
    counts_one_more("shop", before)
    assert main_pid("projctl-keeper.service") == keeper


def clock_forward() -> None:
    """a clock that jumps a day ahead stops nobody who is not idle, and what happens then is counted as ever"""
    get(3401)
    shop, keeper, pid = at_rest("shop"), at_rest("keeper", asleep=False), main_pid("projctl-keeper.service")
    run("date", "--set", "+1 day")
    get(3400)
    falls_asleep("projctl-shop.service")
    counts_one_more("shop", shop)
    assert main_pid("projctl-keeper.service") == pid and totals("keeper") == keeper


def clock_back() -> None:
    """a clock that jumps a day back keeps nobody up who is idle, and what happens then is counted as ever"""
    shop, keeper, pid = at_rest("shop"), at_rest("keeper", asleep=False), main_pid("projctl-keeper.service")
    get(3400)
    run("date", "--set", "-1 day")
    falls_asleep("projctl-shop.service")
    counts_one_more("shop", shop)
    assert main_pid("projctl-keeper.service") == pid and totals("keeper") == keeper


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


def older_units() -> None:
    """units of the older version are taken over by the next apply, without a restart"""
    unit = Path("/etc/systemd/system/projctl-keeper.service")
    before = main_pid("projctl-keeper.service")
    assert "projctl 99.0.0" not in unit.read_text().splitlines()[0]
    run("projctl", "apply")
    assert "projctl 99.0.0" in unit.read_text().splitlines()[0]
    assert main_pid("projctl-keeper.service") == before
    assert run("projctl", "diff") == ""


def autopkgtest() -> None:
    """the test that the Debian packages bring along passes"""
    run("sh", str(DISK / "serve"))


def generator() -> None:
    """where the systemd generator is enabled, a manifest and a daemon-reload are enough"""
    Path("/etc/projctl/generator.conf").write_text("[Generator]\nEnabled=yes\n")
    assert run("projctl", "apply") == "nothing to change"
    MORE.write_text(ADDED)
    run("systemctl", "daemon-reload")
    wait_for(lambda: state("projctl-more.socket") == "active", "the socket of the generated project")
    wakes(3403, "projctl-more.service")
    assert "No entries" in run("journalctl", "--identifier=projctl-generator", check=False)


STEPS = (
    apt_installs_them,
    agent_is_nobody,
    all_is_enabled,
    completion,
    another_copy,
    apply,
    cold_start,
    idle_stop,
    limits,
    out_of_memory,
    freeze,
    thaw,
    taking_nothing,
    bus_restart,
    clock_forward,
    clock_back,
    upgrade,
    older_units,
    autopkgtest,
    generator,
)
