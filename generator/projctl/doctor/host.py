"""What is well and what is not with the machine: one function for each check; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl import OLDEST_SYSTEMD
from projctl.doctor.findings import Finding, ok
from projctl.listing import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projctl.doctor.facts import Descriptors, Host

_CONTROLLERS = {"cpu": "limits.cpu", "memory": "limits.memory", "pids": "limits.tasks"}
#: pidfd_getfd(2) is refused even to root (Documentation/admin-guide/LSM/Yama.rst).
_NO_ATTACH = 3


def examine(host: Host) -> Iterator[Finding]:
    """Every finding about the machine."""
    yield systemd(host)
    if host.systemd is not None:
        yield control_groups(host)
        yield freezer(host)
        yield from counters(host)
        yield from journal(host)
        yield from descriptors(host)
        yield from linger(host)
    yield copies(host)


def systemd(host: Host) -> Finding:
    """Whether there is a systemd that projects can run on."""
    if host.systemd is None:
        cure = "projctl try boots a private one; in user mode: loginctl enable-linger"
        return Finding("systemd", "error", "no systemd answers here", cure)
    if host.systemd < OLDEST_SYSTEMD:
        cure = "upgrade to Debian 12 or a system of its age"
        return Finding(
            "systemd",
            "error",
            f"systemd {host.systemd} is too old: {OLDEST_SYSTEMD} or later is needed",
            cure,
        )
    return ok("systemd", f"version {host.systemd}")


def control_groups(host: Host) -> Finding:
    """Version 2, and the controllers that limits need."""
    if not host.unified:
        cure = "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line"
        return Finding("control-groups", "error", "control groups are not version 2 alone", cure)
    missing = sorted(_CONTROLLERS.keys() - host.controllers)
    if not missing:
        return ok("control-groups", "version 2, with cpu, memory and pids")
    keys = ", ".join(_CONTROLLERS[name] for name in missing)
    message = f"the controllers {', '.join(missing)} are missing: {keys} have no effect"
    if host.user_mode:
        cure = "systemctl edit user@.service, there: [Service] Delegate=cpu memory pids"
    else:
        cure = "give them to this system: on the kernel's command line cgroup_enable=memory, in a container by its host"
    return Finding("control-groups", "note", message, cure)


def freezer(host: Host) -> Finding:
    """Whether servers can be frozen: by watching duplicates of their sockets, which attaching to them gives."""
    if not host.shows_sockets:
        message = "the kernel does not show who has a socket open, so nothing can be frozen"
        return Finding("freezer", "note", message, "use Linux 5.14 or later")
    if host.ptrace_scope == _NO_ATTACH:
        message = "kernel.yama.ptrace_scope=3 forbids watching the sockets of frozen servers"
        cure = "write kernel.yama.ptrace_scope=2 into /etc/sysctl.d and reboot: 3 cannot be undone before"
        return Finding("freezer", "warning" if host.freezes else "note", message, cure)
    if host.user_mode and host.ptrace_scope:
        message = f"kernel.yama.ptrace_scope={host.ptrace_scope} forbids freezing in user mode"
        cure = "write kernel.yama.ptrace_scope=0 into /etc/sysctl.d, or do without"
        return Finding("freezer", "warning" if host.freezes else "note", message, cure)
    return ok("freezer", "servers can be frozen")


def counters(host: Host) -> Iterator[Finding]:
    """Byte counters of sockets: the kernel's BPF for control groups."""
    if host.user_mode or host.counting is None:
        return
    if host.counting:
        yield ok("counters", "systemd counts the bytes of sockets")
        return
    message = "systemd counts no bytes of sockets: the agent goes by connections and CPU time instead"
    cure = "allow bpf(2) to systemd: a container needs CAP_BPF, a kernel CONFIG_CGROUP_BPF"
    yield Finding("counters", "warning", message, cure)


def journal(host: Host) -> Iterator[Finding]:
    """Whether what happened outlives a reboot, and how far back it reaches."""
    found = host.journal
    if found is None:
        yield Finding("journal", "note", "the journal cannot be read", "run as root, or join systemd-journal")
        return
    since = "is empty" if found.since is None else f"reaches back to {moment(found.since)}"
    if found.persistent:
        yield ok("journal", f"kept on disk, {since}")
        return
    cure = "mkdir -p /var/log/journal && journalctl --flush"
    yield Finding("journal", "warning", f"lost at a reboot, {since}: so are metrics and reports", cure)


def descriptors(host: Host) -> Iterator[Finding]:
    """Whether the manager can reload: it then holds every listening descriptor twice."""
    found = host.descriptors
    if found is None:
        return
    needed = found.open + found.sockets
    told = f"{found.open} of {found.limit} descriptors open, {needed} during a reload"
    if needed < found.limit * 0.8:
        yield ok("descriptors", told)
        return
    full = needed >= found.limit
    message = told + (": systemctl daemon-reload would fail and lose sockets" if full else "")
    yield Finding("descriptors", "error" if full else "warning", message, _more_descriptors(host, found))


def _more_descriptors(host: Host, found: Descriptors) -> str:
    enough = max(65536, 1 << (found.open + found.sockets).bit_length() + 1)
    if host.user_mode:
        return f"systemctl edit user@.service, there: [Service] LimitNOFILE={enough}; then log in anew"
    return f"prlimit --pid 1 --nofile={enough}:{enough}; for good: raise fs.nr_open, or the container's limit"


def linger(host: Host) -> Iterator[Finding]:
    """Whether a user's projects outlive the log-in."""
    if host.user_mode and host.lingers is False:
        message = "projects end when you log out, and none starts at boot"
        yield Finding("linger", "note", message, "loginctl enable-linger")
    elif host.user_mode and host.lingers:
        yield ok("linger", "projects outlive the log-in")


def copies(host: Host) -> Finding:
    """Whether there is one projctl only: by pip and by apt at once, one shadows the other."""
    named = [f"{copy.path} ({copy.version or 'unknown version'})" for copy in host.copies]
    if len(named) < 2:
        return ok("copies", named[0] if named else "one")
    first, *others = (copy.path for copy in host.copies)
    cures = [
        "apt remove projctl" if path.startswith("/usr/bin/") else f"pip uninstall projctl, of {path}"
        for path in others
    ]
    message = f"{len(named)} copies: {', '.join(named)}; the shell takes {first}"
    return Finding("copies", "warning", message, "keep one, for the others: " + "; ".join(cures))
