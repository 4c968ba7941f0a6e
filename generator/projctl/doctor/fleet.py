"""What is well and what is not with the projects and their units; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl.doctor import history
from projctl.doctor.findings import Finding, ok
from projctl.listing import plural, span
from projctl.names import project_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projctl.doctor.facts import Deviation, Kind, Projects, Start
    from projctl.doctor.findings import Severity

#: Seconds that a server may run on after its time without complaint: the agent looks again before it stops.
OVERDUE = 60.0
#: How messages call the time that the history covers.
LATELY = "in the last 7 days"

_WORDS: dict[Kind, tuple[str, str]] = {
    "edited": (
        "was written after the last apply, and not as its manifest says",
        "projctl apply writes it anew; what must stay: systemctl edit {unit}",
    ),
    "differs": ("is not as its manifest says", "look with projctl diff, then: projctl apply"),
    "missing": ("is gone, though its project is installed", "projctl apply"),
    "new": ("is not installed yet", "projctl apply"),
    "unwanted": ("is no longer in any manifest", "look with projctl diff, then: projctl apply"),
    "stale": ("was changed on disk since systemd read it", "systemctl daemon-reload"),
}
_MILD: frozenset[Kind] = frozenset({"new"})


def examine(projects: Projects, *, flag: str) -> Iterator[Finding]:
    """Every finding about projects; `flag` is ` --user` in user mode."""
    yield from manifests(projects, flag)
    yield from blindness(projects)
    yield from units(projects, flag)
    yield from failures(projects, flag)
    yield from overdue(projects, flag)
    yield from ends(projects, flag)
    yield from starts(projects, flag)


def manifests(projects: Projects, flag: str) -> Iterator[Finding]:
    """Whether the manifests can be read and obeyed."""
    if projects.problems:
        first, count = projects.problems[0], len(projects.problems)
        more = f" (and {count - 1} more)" if count > 1 else ""
        yield Finding("manifests", "error", f"{first}{more}", f"projctl check{flag} shows all")
    elif not projects.manifests:
        yield Finding("manifests", "note", "no project is in a manifest", "projctl(1) begins with an example")
    else:
        yield ok("manifests", plural(projects.manifests, "project"))


def blindness(projects: Projects) -> Iterator[Finding]:
    """Whether it is known what happened lately."""
    if projects.blind:
        cure = 'run as root or as a member of systemd-journal, with the extra "agent" installed'
        yield Finding("history", "note", f"not known what happened lately: {projects.blind}", cure)


def units(projects: Projects, flag: str) -> Iterator[Finding]:
    """Whether what is installed is what the manifests say."""
    for deviation in projects.deviations:
        yield _deviation(deviation, flag)
    if not projects.deviations and projects.manifests and not projects.problems:
        yield ok("units", "as the manifests say")


def _deviation(deviation: Deviation, flag: str) -> Finding:
    words, cure = _WORDS[deviation.kind]
    for verb in ("projctl diff", "projctl apply", "systemctl edit", "systemctl daemon-reload"):
        cure = cure.replace(verb, f"{verb}{flag}")
    severity: Severity = "note" if deviation.kind in _MILD else "warning"
    text = f"{deviation.unit} {words}"
    return Finding("units", severity, text, cure.format(unit=deviation.unit), project_of(deviation.unit))


def failures(projects: Projects, flag: str) -> Iterator[Finding]:
    """Servers that failed, and projects of which nothing listens."""
    for server in projects.servers:
        status = server.status
        if status.state == "failed":
            message = f"failed: {status.reason}" if status.reason else "failed"
            cure = (
                f"projctl logs{flag} {status.name} tells why; projctl start{flag} {status.name} tries again"
            )
            yield Finding("servers", "error", message, cure, status.name)
        elif status.state == "down":
            cure = f"projctl apply{flag} opens it"
            yield Finding("servers", "note", "no socket listens: nobody can connect", cure, status.name)


def overdue(projects: Projects, flag: str) -> Iterator[Finding]:
    """Servers that should have been stopped and were not."""
    for server in projects.servers:
        status = server.status
        late = projects.now - status.would_stop_at if status.would_stop_at else 0.0
        if status.state in ("running", "frozen") and late > OVERDUE:
            idle = f"not used for {span(status.idle_seconds)}, " if status.idle_seconds else ""
            message = f"{idle}should have been stopped {span(late)} ago"
            name = f"projctl-{status.name}.service"
            cure = (
                f"why it was not: journalctl{flag} -u projctl-agent.service; now: systemctl{flag} stop {name}"
            )
            yield Finding("idle", "warning", message, cure, status.name)


def ends(projects: Projects, flag: str) -> Iterator[Finding]:
    """Servers that did not end when asked, or ended when nobody asked."""
    for server in projects.servers:
        lately, name = server.history, server.status.name
        if lately.stop_timeouts:
            limit = f" of {span(server.stop_limit)}" if server.stop_limit else ""
            message = f"killed {times(lately.stop_timeouts)} {LATELY}: it did not end within its stop_timeout{limit}"
            cure = "let the server end on its stop signal (no shell around it without exec), or raise stop_timeout"
            yield Finding("stops", "warning", message, cure, name)
        if lately.out_of_memory:
            message = f"ended {times(lately.out_of_memory)} {LATELY} for want of memory"
            yield Finding("memory", "warning", message, "raise limits.memory, or look for a leak", name)
        if lately.crashes:
            cure = f"projctl events{flag} {name} tells when, projctl logs{flag} {name} what it said"
            yield Finding("crashes", "warning", f"crashed {times(lately.crashes)} {LATELY}", cure, name)


def times(count: int) -> str:
    """How often: `once`, `3 times`."""
    return "once" if count == 1 else f"{count} times"


def starts(projects: Projects, flag: str) -> Iterator[Finding]:
    """Servers whose clients wait long for the first answer, and on what."""
    for server in projects.servers:
        start, slow, name = server.start, server.history.slow, server.status.name
        often = f"{len(slow)} of {plural(server.history.starts, 'start')} {LATELY} took {history.SLOW:g} s or more"
        if start is not None and start.seconds >= history.SLOW:
            phase, seconds, cure = slowest(start)
            message = f"the last start took {start.seconds:.1f} s, {seconds:.1f} s of it {phase}"
            tight = start.limit is not None and start.seconds > start.limit / 2
            message += f"; systemd gives up after {start.limit:g} s: raise start_timeout" if tight else ""
            message += f"; {often}" if len(slow) > 1 else ""
            cure = cure.format(flag=flag, name=name)
            yield Finding("starts", "warning" if tight else "note", message, cure, name)
        elif slow:
            cure = (
                f"projctl events{flag} {name} tells when; the last one was quick: look at what else ran then"
            )
            yield Finding("starts", "note", f"{often}, the slowest {max(slow):.1f} s", cure, name)


def slowest(start: Start) -> tuple[str, float, str]:
    """The longest phase of a start, its seconds, and where to look."""
    phases = (
        ("preparation (before the program was run)", start.preparation,
         "look at drop-ins with ExecStartPre=, and at slow disks: systemctl{flag} cat projctl-{name}.service"),
        ("program start (until it said that it is ready)", start.program,
         "see what the program does when it starts: projctl logs{flag} {name}; of Python: python -X importtime"),
        ("readiness (until it answered on its socket)", start.readiness,
         "see what the program does before it answers: projctl logs{flag} {name}; of Python: python -X importtime"),
    )  # fmt: skip
    return max(phases, key=lambda phase: phase[1])
