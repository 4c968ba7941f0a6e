"""What a lab could leave on this machine: mounts, control groups, files, processes in its namespaces."""

from __future__ import annotations

from pathlib import Path

Traces = dict[str, set[str]]
#: Directories in which a lab could leave something.
PLACES = ("/run", "/run/systemd", "/var/lib", "/var/lib/machines", "/etc/systemd/system")


def take(token: str) -> Traces:
    """This machine's mounts, its files where a lab could leave some, and control groups with `token`."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    hierarchies = [Path(line.split()[4]) for line in mounts if " - cgroup2 " in line]
    groups = [path for top in hierarchies for path in top.glob(f"*{token}*")]
    files = [path for place in map(Path, PLACES) if place.is_dir() for path in place.iterdir()]
    return {"mounts": set(mounts), "control groups": set(map(str, groups)), "files": set(map(str, files))}


def namespaces(pid: int | str) -> set[str]:
    """The namespaces of a process that are not ours; empty when it is gone."""
    return _namespaces(pid) - _namespaces("self")


def _namespaces(pid: int | str) -> set[str]:
    try:
        return {str(Path(f"/proc/{pid}/ns/{kind}").readlink()) for kind in ("mnt", "net", "pid")}
    except OSError:
        return set()


def processes(spaces: set[str]) -> set[str]:
    """The processes that are in one of these namespaces."""
    pids = (path.name for path in Path("/proc").glob("[0-9]*"))
    return {pid for pid in pids if _namespaces(pid) & spaces}
