"""Talks to systemd through `systemctl`, `systemd-analyze` and `journalctl`; the only place that runs them."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from projctl import OLDEST_SYSTEMD
from projctl.diagnostics import ProjctlError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from projctl.scope import Scope

#: Seconds. A start may wait for its job; everything else answers at once or is broken.
_ANSWER, _JOB = 60, 600


def version() -> int | None:
    """The version of systemd installed here; None without systemctl."""
    if not shutil.which("systemctl"):
        return None
    output = _run(["systemctl", "--version"], _ANSWER).stdout
    match = re.match(r"systemd (\d+)", output)
    return int(match[1]) if match else None


def supported_version() -> int | None:
    """The same; raises where it is older than what we render for."""
    found = version()
    if found is not None and found < OLDEST_SYSTEMD:
        raise ProjctlError(
            f"cannot work with systemd {found}: must be {OLDEST_SYSTEMD} or later",
            hint="upgrade to Debian 12 or a system of its age; --systemd-version renders for another machine",
        )
    return found


def require(scope: Scope) -> None:
    """Raise one clear problem when there is no manager to talk to."""
    if scope.remote:
        return
    if scope.user:
        runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
        if not Path(runtime, "systemd/private").exists():
            raise ProjctlError(
                "cannot reach a systemd user manager",
                hint="log in as that user, or run: loginctl enable-linger; XDG_RUNTIME_DIR must be set",
            )
    elif not Path("/run/systemd/system").is_dir():
        raise ProjctlError(
            "cannot work without systemd: it is not what runs this machine",
            hint="to try projctl in a private systemd, run: projctl try",
        )


def show(
    scope: Scope, names: Sequence[str], properties: Sequence[str], *, precise: bool = False
) -> list[dict[str, str]]:
    """Properties of units, in one call; systemctl fetches all of each unit's, so ask for few units.

    `precise`: times to the microsecond, in UTC.
    """
    if not names:
        return []
    command = [
        "systemctl",
        *scope.flags,
        "show",
        "--all",
        f"--property={','.join(properties)}",
        *(["--timestamp=us+utc"] if precise else []),
        "--",
        *names,
    ]
    blocks = _checked(command, _ANSWER).split("\n\n")
    parsed = (
        dict(line.partition("=")[::2] for line in block.splitlines() if "=" in line) for block in blocks
    )
    return [block for block in parsed if block]


def units(scope: Scope, pattern: str) -> dict[str, tuple[str, str]]:
    """ActiveState and SubState of all loaded units that match; one call, however many there are."""
    command = ["systemctl", *scope.flags, "list-units", "--all", "--output=json", "--", pattern]
    listed = _listed(command)
    return {unit["unit"]: (unit["active"], unit["sub"]) for unit in listed if unit["load"] != "not-found"}


def open_sockets(scope: Scope, *, every: bool = False) -> dict[str, list[str]]:
    """The stream addresses of all socket units that listen now, or of `every` one that systemd has loaded.

    One call, however many there are.
    """
    more = ["--all"] if every else []
    command = ["systemctl", *scope.flags, "list-sockets", "--show-types", "--output=json", *more]
    found: dict[str, list[str]] = {}
    for entry in _listed(command):
        if entry.get("type") == "Stream":
            found.setdefault(entry["unit"], []).append(entry["listen"])
    return found


def start(scope: Scope, units: Sequence[str]) -> None:
    """Start units and wait for the jobs."""
    _jobs(scope, "start", units)


def start_soon(scope: Scope, units: Sequence[str]) -> None:
    """Order the start of units, and do not wait: how it goes is theirs."""
    for chunk in _chunks(units):
        _checked(["systemctl", *scope.flags, "start", "--no-block", "--", *chunk], _ANSWER)


class Calendar(NamedTuple):
    """A calendar event of systemd.time(7) in its normalized form, and what is wrong with it, if anything."""

    form: str
    error: str | None = None


def calendar(event: str) -> Calendar:
    """What systemd makes of a calendar event; the event as it is where nobody can tell."""
    if not shutil.which("systemd-analyze"):
        return Calendar(event)
    told = _run(["systemd-analyze", "calendar", "--", event], _ANSWER)
    if told.returncode:
        return Calendar(event, "must be a calendar event as in systemd.time(7)")
    lines = dict(line.strip().partition(": ")[::2] for line in told.stdout.splitlines())
    error = "cannot be in the past" if lines.get("Next elapse") == "never" else None
    return Calendar(lines.get("Normalized form", event), error)


def stop(scope: Scope, units: Sequence[str]) -> None:
    """Stop units and wait for the jobs."""
    _jobs(scope, "stop", units)


def close(scope: Scope, names: Sequence[str]) -> None:
    """Stop units such that no connection that arrives meanwhile can call the stop off."""
    for chunk in _chunks(names):
        _checked(["systemctl", *scope.flags, "stop", "--job-mode=replace-irreversibly", "--", *chunk], _JOB)


def restart(scope: Scope, units: Sequence[str]) -> None:
    """Restart units and wait for the jobs; what does not run is started."""
    _jobs(scope, "restart", units)


def reload(scope: Scope, units: Sequence[str]) -> None:
    """Reload those units that run, or restart them where they have no reload."""
    _jobs(scope, "try-reload-or-restart", units)


def reset_failed(scope: Scope, units: Sequence[str]) -> None:
    """Forget that units failed; units systemd no longer knows are no error."""
    for chunk in _chunks(units):
        _run(["systemctl", *scope.flags, "reset-failed", "--", *chunk], _ANSWER)


def daemon_reload(scope: Scope) -> None:
    """Make systemd read changed unit files."""
    _checked(["systemctl", *scope.flags, "daemon-reload"], _JOB)


def take_over_users_and_catalog() -> None:
    """Make the users in sysusers.d, and the texts of the catalog, known to the system."""
    _checked(["systemd-sysusers"], _ANSWER)
    _checked(["journalctl", "--update-catalog"], _ANSWER)


def verify(scope: Scope, files: Sequence[Path]) -> str:
    """What `systemd-analyze verify` says about unit files; empty when all is well."""
    mode = "--user" if scope.user else "--system"
    # It wants a runtime directory of the user even to look at files only.
    fallback = {"XDG_RUNTIME_DIR": str(files[0].parent)} if scope.user else {}
    environment = {**fallback, **os.environ, "SYSTEMD_LOG_LEVEL": "warning"}
    command = ["systemd-analyze", mode, "--man=no", "--generators=no", "verify", "--", *map(str, files)]
    result = _run(command, _JOB, environment=environment)
    return result.stderr.strip() or ("" if result.returncode == 0 else f"exit status {result.returncode}")


def journal_lines(arguments: Sequence[str]) -> list[str]:
    """The lines that journalctl prints."""
    return _checked(["journalctl", "--no-pager", "--quiet", *arguments], _ANSWER).splitlines()


def journal_reaches_beyond(moment: float) -> bool:
    """Whether the journal has any entry from before that moment, in seconds since 1970."""
    return bool(
        journal_lines([f"--until=@{moment:.6f}", "--lines=1", "--output=cat", "--output-fields=PRIORITY"])
    )


def moment(text: str) -> float:
    """A time as systemd.time(7) writes it, in seconds since 1970. Raises ProjctlError."""
    found = _run(["systemd-analyze", "timestamp", "--", text], _ANSWER)
    match = re.search(r"UNIX seconds: @([0-9.]+)", found.stdout)
    if not match:
        hint = 'such as "-30d", "yesterday" or "2026-01-31 12:00", see systemd.time(7)'
        raise ProjctlError(f'must be a time: "{text}"', hint=hint)
    return float(match[1])


def output(command: Sequence[str]) -> Iterator[str]:
    """The lines that a program of ours prints, as they come; what it complains about is raised."""
    with _started(command) as process:
        yield from process.stdout or ()
        _end(process)


def stream(command: Sequence[str], reader: int) -> Iterator[str]:
    """Like output, until nobody reads from the descriptor `reader` any more, whether lines come or not."""
    with _started(command) as process:
        assert process.stdout  # noqa: S101  a pipe
        poll = select.poll()
        poll.register(reader, 0)
        poll.register(process.stdout, select.POLLIN)
        rest = b""
        while all(descriptor != reader for descriptor, _ in poll.poll()):
            chunk = os.read(process.stdout.fileno(), 1 << 16)
            if not chunk:
                return _end(process)
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line.decode(errors="replace") + "\n" for line in lines)


def _started(command: Sequence[str]) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)


def _end(process: subprocess.Popen[str]) -> None:
    said = process.stderr.read() if process.stderr else ""
    if process.wait():
        name = Path(str(process.args[0] if isinstance(process.args, list) else process.args)).name
        raise ProjctlError(
            said.strip().removeprefix(f"{name}: ") or f"{name} ended with {process.returncode}"
        )


def _jobs(scope: Scope, verb: str, names: Sequence[str]) -> None:
    # systemctl without a unit would be an error, and nothing to do is none.
    for chunk in _chunks(names):
        try:
            _checked(["systemctl", *scope.flags, verb, "--", *chunk], _JOB)
        except ProjctlError as error:
            raise ProjctlError(f"{error.problems[0].message}{_failed(scope, chunk)}") from None


def _failed(scope: Scope, names: Sequence[str]) -> str:
    """Which of several units failed, where systemctl only says that some job did."""
    if len(names) < 2:
        return ""
    states = units(scope, "projctl*")
    failed = [name for name in names if states.get(name, ("inactive", ""))[0] in ("failed", "inactive")]
    return f" ({', '.join(failed[:5])}{', …' if len(failed) > 5 else ''})" if failed else ""


def _chunks(units: Sequence[str], size: int = 500) -> list[Sequence[str]]:
    return [units[i : i + size] for i in range(0, len(units), size)]


def _listed(command: Sequence[str]) -> list[dict[str, str]]:
    """What systemctl lists as JSON; an old one prints something else."""
    try:
        listed: list[dict[str, str]] = json.loads(_checked(command, _ANSWER) or "[]")
    except ValueError:
        supported_version()
        raise ProjctlError(f"cannot read what {_spoken(command)} prints") from None
    return listed


def _checked(command: Sequence[str], seconds: int) -> str:
    result = _run(command, seconds)
    if result.returncode:
        said = result.stderr.strip() or result.stdout.strip() or f"exit status {result.returncode}"
        raise ProjctlError(f"{_spoken(command)} failed: {said}")
    return result.stdout


def _spoken(command: Sequence[str]) -> str:
    """The command as a message names it: program and verb."""
    return " ".join([command[0], *(word for word in command[1:3] if not word.startswith("-"))])


def _run(
    command: Sequence[str], seconds: int, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=seconds, check=False, env=environment,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError:
        raise ProjctlError(f"cannot find {command[0]}: is systemd installed?") from None
    except subprocess.TimeoutExpired:
        raise ProjctlError(f"{' '.join(command[:3])} did not answer within {seconds} s") from None
