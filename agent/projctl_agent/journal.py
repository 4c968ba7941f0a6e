"""The journal's entries about projects, from a kept cursor on: only those whose writer can be believed."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from systemd import journal as sd

from projctl_agent import exits, messages
from projctl_agent.entry import NOTHING, Entry, Kind
from projctl_agent.names import instance_of_service, project_and_number
from projctl_agent.opening import open_journal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from projctl_agent.event import Figures

_AGENT = "projctl-agent.service"
#: sd-messages(3), and the ones of systemd-oomd and of ours.
_KINDS_OF_MANAGER = {
    "7d4958e842da4a758f6c1cdc7b36dcc5": Kind.STARTING,
    "39f53479d3a045ac8e11786248231fbf": Kind.STARTED,
    "de5b426a63be47a7b6ac3eaac82e2f6f": Kind.STOPPING,
    "9d1aaa27d60140bd96365438aad20286": Kind.STOPPED,
    "7ad2d189f7e94e70a38c781354912448": Kind.SUCCESS,
    "d9b373ed55a64feb8242e02dbe79a49c": Kind.FAILURE,
    "ae8f7b866b0347b9af31fe1c80b127c0": Kind.USED,
    "98e322203f7a4ed290d09fe03c09fe15": Kind.EXITED,
    "fe6faa94e7774663a0da52717891d8ef": Kind.OUT_OF_MEMORY,
    "d989611b15e44c9dbf31e3c81256e4ed": Kind.OUT_OF_MEMORY,
}
_KINDS_OF_AGENT = {
    messages.IDLE_STOP: Kind.IDLE_STOP,
    messages.IDLE_STOP_REFUSED: Kind.IDLE_STOP_REFUSED,
    messages.FROZEN: Kind.FROZEN,
    messages.THAWED: Kind.THAWED,
    messages.ENDED: Kind.ENDED,
    messages.NO_COUNTERS: Kind.NO_COUNTERS,
    messages.REARMED: Kind.REARMED,
    messages.HELD_UP: Kind.REARMED,
    messages.HOLD: Kind.HOLD,
    messages.RELEASE: Kind.RELEASE,
    messages.WARM: Kind.WARM,
    messages.LEAK: Kind.LEAK,
}
#: What `projctl` writes before it carries out an order; its PROJCTL_EVENT= says which.
_ORDER = "b3123d8caca15454c53c0abc7e83fb33"
#: journald's own: it threw lines of a unit away.
_SUPPRESSED = "a596d6fe7bfa4994828e72309e95d61e"
#: What entries of ours may tell in numbers, each in a field of this name in capitals after PROJCTL_.
_FIGURES = (
    "idle_seconds",
    "frozen_seconds",
    "uptime_seconds",
    "cpu_seconds",
    "memory_bytes",
    "memory_peak_bytes",
    "bytes_in",
    "bytes_out",
    "failures",
    "uid",
    "until",
)
#: What they may tell in words.
_TEXTS = ("activity", "processes", "socket")
#: No field that is read comes near this many bytes; longer ones, however long, are cut by the reader.
_LONGEST_FIELD = 1024
_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose entries are believed, by fields that journald itself sets, and what the manager's are called."""

    manager: tuple[str, ...]
    agent: tuple[str, ...]
    person: tuple[str, ...]
    unit_field: str
    invocation_field: str
    flags: int


def system_scope() -> Scope:
    """PID 1 tells of units, projctl-agent.service of decisions, root of orders."""
    return Scope(
        ("_PID=1",),
        (f"_SYSTEMD_UNIT={_AGENT}",),
        ("_UID=0",),
        "UNIT",
        "INVOCATION_ID",
        sd.LOCAL_ONLY | sd.SYSTEM_ONLY,
    )


def user_scope() -> Scope:
    """The user's own manager, this one or an earlier one (alone in its init.scope), and the user's agent."""
    own = f"_UID={os.getuid()}"
    return Scope(
        (own, "_SYSTEMD_USER_UNIT=init.scope"),
        (own, f"_SYSTEMD_USER_UNIT={_AGENT}"),
        (own,),
        "USER_UNIT",
        "USER_INVOCATION_ID",
        sd.LOCAL_ONLY,
    )


class Journal:
    """Reads on after a cursor; each pass opens the files anew, so that rotation cannot mislead it."""

    def __init__(self, scope: Scope, projects: Collection[str] = ()) -> None:
        """With `projects` only what is about them."""
        self._scope = scope
        self._projects = frozenset(projects)

    def read(self, cursor: str) -> Iterator[tuple[Entry | None, str]]:
        """Entries after `cursor` (empty: from the oldest on), each with its own cursor.

        None stands for an entry that is about no project. Raises OSError where the journal cannot be read.
        """
        reader = open_journal(self._scope.flags)
        try:
            reader.data_threshold = _LONGEST_FIELD
            self._match(reader, self._projects)
            more = _seek(reader, cursor)
            while more:
                yield self._entry(reader), reader._get_cursor()
                more = reader._next()
        finally:
            reader.close()

    def has(self, cursor: str) -> bool:
        """Whether the entry at a cursor is still there."""
        if not cursor:
            return False
        with sd.Reader(flags=self._scope.flags) as reader:
            try:
                reader.seek_cursor(cursor)
                return bool(reader._next()) and bool(reader.test_cursor(cursor))
            except (OSError, ValueError):
                return False

    def bell(self, cursor: str) -> Bell:
        """What tells of entries after `cursor`. Raises OSError."""
        reader = sd.Reader(flags=self._scope.flags)
        self._match(reader, frozenset())  # a project may come to have instances that no entry has named yet
        return Bell(reader, cursor)

    def boot(self) -> str:
        """The boot of the newest entry, whatever it is about; empty without one.

        What the kernel says would be the host's where the agent's sandbox is one in a container.
        """
        with sd.Reader(flags=self._scope.flags) as reader:
            reader.seek_tail()
            return bytes(reader._get_monotonic()[1]).hex() if reader._previous() else ""

    def require(self) -> None:
        """Raise OSError where this user may read no journal at all, which would look like an empty one."""
        with sd.Reader(flags=self._scope.flags) as reader:
            if not reader.has_persistent_files() and not reader.has_runtime_files():
                raise OSError("cannot read the journal: ask for the group systemd-journal, or be root")

    def _match(self, reader: sd.Reader, projects: frozenset[str]) -> None:
        units = self._units(reader) if projects else []
        ours = [f"PROJCTL_PROJECT={project}" for project in projects]
        for match in (*self._scope.manager, *units, *(f"MESSAGE_ID={key}" for key in _KINDS_OF_MANAGER)):
            reader.add_match(match)
        reader.add_disjunction()
        for match in (*self._scope.agent, *ours, *(f"MESSAGE_ID={key}" for key in _KINDS_OF_AGENT)):
            reader.add_match(match)
        reader.add_disjunction()
        for match in (*self._scope.person, *ours, f"MESSAGE_ID={_ORDER}"):
            reader.add_match(match)
        if not projects:
            reader.add_disjunction()
            for match in ("_TRANSPORT=driver", f"MESSAGE_ID={_SUPPRESSED}"):
                reader.add_match(match)

    def _object(self, reader: sd.Reader) -> str:
        """The unit that an entry of journald is about, as journald itself found."""
        return _get(reader, f"OBJECT_SYSTEMD_{self._scope.unit_field}")

    def _units(self, reader: sd.Reader) -> list[str]:
        """The services of the projects that the journal knows, as matches; never none."""
        field = self._scope.unit_field
        known = [unit for unit in reader.query_unique(field) if isinstance(unit, str)]
        named = {f"projctl-{project}.service" for project in self._projects}
        return [f"{field}={unit}" for unit in named.union(filter(self._is_wanted, known))]

    def _is_wanted(self, unit: str) -> bool:
        named = instance_of_service(unit)
        return named is not None and project_and_number(named[0])[0] in self._projects

    def _entry(self, reader: sd.Reader) -> Entry | None:
        identity = _get(reader, "MESSAGE_ID")
        figures: Mapping[str, float | int | str] = NOTHING
        if kind := _KINDS_OF_AGENT.get(identity):
            unit, invocation = _get(reader, "PROJCTL_UNIT"), _get(reader, "PROJCTL_INVOCATION_ID")
            result, figures = _get(reader, "PROJCTL_REASON"), _figures(reader)
        elif kind := _KINDS_OF_MANAGER.get(identity):
            unit = _get(reader, self._scope.unit_field)
            invocation = _get(reader, self._scope.invocation_field)
            kind, result = _told(reader, kind)
            figures = _used(reader) if kind is Kind.USED else NOTHING
        elif identity == _ORDER and _is_a_persons(reader):
            kind, unit, invocation = Kind.ORDER, _get(reader, "PROJCTL_UNIT"), ""
            result = _get(reader, "PROJCTL_EVENT")
        elif identity == _SUPPRESSED and (count := _get(reader, "N_DROPPED")).isdecimal():
            kind, unit, invocation, result = Kind.SUPPRESSED, self._object(reader), "", ""
            figures = {"dropped": int(count)}
        else:
            return None
        if not instance_of_service(unit):
            return None
        monotonic, boot = reader._get_monotonic()
        source = _get(reader, "_SOURCE_REALTIME_TIMESTAMP")
        realtime = int(source) if source.isdecimal() else reader._get_realtime()
        return Entry(kind, unit, invocation, bytes(boot).hex(), realtime, monotonic, result, figures)


class Bell:
    """Rings when entries come; one that rang is done with: read on, and take another."""

    def __init__(self, reader: sd.Reader, cursor: str) -> None:
        self._reader = reader
        reader.fileno()  # watches from here on, so that nothing comes unseen after the look
        self._rang = _seek(reader, cursor)

    def fileno(self) -> int:
        """To be polled for input, before `rings` is asked again."""
        return int(self._reader.fileno())

    def rings(self) -> bool:
        """Whether there are new entries, or may be because files came or went."""
        if self._rang:
            return True
        change = self._reader.process()
        return change == sd.INVALIDATE or (change == sd.APPEND and bool(self._reader._next()))

    def newest(self) -> str:
        """The cursor of the newest entry that it rings for; empty without one."""
        self._reader.seek_tail()
        return str(self._reader._get_cursor()) if self._reader._previous() else ""

    def close(self) -> None:
        """Let go of the journal's files."""
        self._reader.close()


def _told(reader: sd.Reader, kind: Kind) -> tuple[Kind, str]:
    """What an entry of the manager tells, and with which result."""
    if kind is not Kind.EXITED:
        return kind, _get(reader, "UNIT_RESULT")
    code, status = exits.CODES.get(_get(reader, "EXIT_CODE")), _get(reader, "EXIT_STATUS")
    told = exits.describe(code, int(status)) if code and status.isdecimal() else ""
    return (Kind.PROBE_FAILED if _get(reader, "COMMAND") == "ExecStartPost" else kind), told


def _used(reader: sd.Reader) -> Figures:
    """What systemd says that a run used; it says so only of runs that used much."""
    cpu, peak = _get(reader, "CPU_USAGE_NSEC"), _get(reader, "MEMORY_PEAK")  # the second from systemd 255 on
    figures: Figures = {"cpu_seconds": int(cpu) / 1e9} if _NUMBER.fullmatch(cpu) else {}
    return figures | ({"memory_peak_bytes": int(peak)} if _NUMBER.fullmatch(peak) else {})


def _is_a_persons(reader: sd.Reader) -> bool:
    """Whether no process of a project wrote it: one that runs as root gives no orders all the same.

    Of a process that was gone before journald looked for it nobody knows whose it was.
    """
    writers = (_get(reader, "_SYSTEMD_UNIT"), _get(reader, "_SYSTEMD_USER_UNIT"))
    return bool(_get(reader, "_SYSTEMD_CGROUP")) and not any(instance_of_service(unit) for unit in writers)


def _figures(reader: sd.Reader) -> Figures:
    texts = {name: _get(reader, f"PROJCTL_{name.upper()}") for name in _FIGURES}
    figures: Figures = {name: _number(text) for name, text in texts.items() if _NUMBER.fullmatch(text)}
    texts = {name: _get(reader, f"PROJCTL_{name.upper()}") for name in _TEXTS}
    return figures | {name: text for name, text in texts.items() if text}


def _number(text: str) -> float | int:
    return float(text) if "." in text else int(text)


def _seek(reader: sd.Reader, cursor: str) -> bool:
    """Stand on the first entry after the cursor; False where there is none."""
    if not cursor:
        reader.seek_head()
        return bool(reader._next())
    reader.seek_cursor(cursor)
    if not reader._next():
        return False
    # Where the entry itself is gone, its successor is the first new one.
    return bool(reader._next()) if reader.test_cursor(cursor) else True


def _get(reader: sd.Reader, field: str) -> str:
    try:
        return bytes(reader._get(field)).decode("ascii", "replace")
    except (KeyError, OSError):
        return ""
