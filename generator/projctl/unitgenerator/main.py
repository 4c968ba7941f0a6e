"""The command projctl-generator: asked by systemd at boot and at every daemon-reload, or by a person with --dryrun."""

from __future__ import annotations

import os
import sys

from projctl.unitgenerator import configuration, emission, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_USAGE = "usage: projctl-generator [--dryrun | NORMAL-DIR EARLY-DIR LATE-DIR]"
HELP = f"""{_USAGE}

Gives systemd the units of /etc/projctl/projects.d at boot and at every daemon-reload, where
/etc/projctl/generator.conf says Enabled=yes. See projctl-generator(8).

  --dryrun    print the units and change nothing
  -h, --help  show this"""
CONFIGURATION = "/etc/projctl/generator.conf"
MANIFESTS = "/etc/projctl/projects.d"
INSTALLED = "/etc/systemd/system"
#: What apply has rendered, and what this program gave systemd last, since the machine is up.
RENDERED, GENERATED = "/etc/projctl/rendered", "/run/projctl/generated"


def main() -> None:
    """Exit status 0, or 1 where a project or a manifest was left out, 2 for wrong usage."""
    arguments = sys.argv[1:]
    if arguments in (["-h"], ["--help"]):
        print(HELP)  # noqa: T201
        sys.exit(0)
    if arguments != ["--dryrun"] and (len(arguments) != 3 or any(a.startswith("-") for a in arguments)):
        print(_USAGE, file=sys.stderr)  # noqa: T201
        sys.exit(2)
    dry = arguments == ["--dryrun"]
    tell = _complain if dry else _log
    try:
        sys.exit(_generate(arguments, tell) if dry or _is_enabled(tell) else 0)
    except OSError as error:
        tell(f"cannot write units: {error}")
        sys.exit(1)


def _is_enabled(tell: Callable[[str], None]) -> bool:
    try:
        return configuration.is_enabled(CONFIGURATION)
    except ValueError as error:
        tell(str(error))
        return False


def _generate(arguments: list[str], tell: Callable[[str], None]) -> int:
    dry = len(arguments) == 1
    normal, early = ("", "") if dry else arguments[:2]
    places = emission.Places(normal, early, INSTALLED)
    files = store.manifests_in(MANIFESTS)
    now = store.digests(files)
    generated, rendered = store.read(GENERATED), store.read(RENDERED)
    failed, units = False, _kept(now, generated, rendered, places)
    if units is None:
        units, failed = _fresh(files, now, (generated, rendered), places, tell, save=not dry)
    written = emission.plan(places, units)
    if dry:
        _show(written)
    else:
        emission.write(written, emission.links(places, written))
    return 1 if failed else 0


def _kept(
    now: dict[str, str], generated: store.Store, rendered: store.Store, places: emission.Places
) -> dict[str, str] | None:
    """The units of these very manifests, as they were kept; None where they were not, or not all of them."""
    try:
        if now and now == rendered.manifests:
            return _texts(rendered, rendered.projects, places.there)
        if now and now == generated.manifests:
            others = _texts(rendered, generated.kept, places.there)
            return others | _texts(generated, generated.projects)
    except (KeyError, OSError):  # the one store was replaced while the other still names what was in it
        pass
    return None


def _texts(known: store.Store, names: Iterable[str], there: frozenset[str] = frozenset()) -> dict[str, str]:
    """The units of these projects, without those that are `there`."""
    units = [unit for name in names for unit in known.projects[name].units]
    units += emission.STATIC if units else ()
    return {unit: store.read_text(f"{known.directory}/{unit}") for unit in units if unit not in there}


def _fresh(
    files: list[str],
    now: dict[str, str],
    stores: tuple[store.Store, store.Store],
    places: emission.Places,
    tell: Callable[[str], None],
    *,
    save: bool,
) -> tuple[dict[str, str], bool]:
    """The units of all manifests, and whether any of them could not be made."""
    from projctl import render
    from projctl.scope import Scope
    from projctl.unitgenerator import fresh

    # systemd, which would be asked for users it makes up, waits for this very program: nss-systemd must not ask it.
    os.environ["SYSTEMD_NSS_DYNAMIC_BYPASS"] = "1"
    found = fresh.make(files, Scope(), stores, places)
    for problem in found.problems:
        tell(str(problem))
    own = {name: project for name, project in found.projects.items() if not project.rendered}
    static = render.static() if found.projects else {}
    texts = {unit: text for project in own.values() for unit, text in project.texts.items()}
    if save:
        entries = {name: project.entry for name, project in own.items()}
        index = store.dumps(now, entries, found.projects.keys() - own.keys())
        emission.replace(GENERATED, {**static, **texts, store.INDEX: index})
    kept = (project.texts for project in found.projects.values() if project.rendered)
    others = {unit: text for units in kept for unit, text in units.items() if unit not in places.there}
    return {**static, **others, **texts}, any(problem.severity == "error" for problem in found.problems)


def _show(files: dict[str, str]) -> None:
    for path, text in sorted(files.items()):
        print(f"# {path.lstrip('/')}\n{text}")  # noqa: T201


def _complain(text: str) -> None:
    print(f"projctl-generator: {text}", file=sys.stderr)  # noqa: T201


def _log(text: str) -> None:
    """Tell the journal, or before it runs the kernel's log; neither may hold up a boot."""
    import socket

    for line in text.splitlines():
        message = f"<3>projctl-generator: {line}".encode(errors="replace")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as journal:
                journal.sendto(message, "/run/systemd/journal/dev-log")
        except OSError:
            _log_to_kernel(message)


def _log_to_kernel(message: bytes) -> None:
    try:
        handle = os.open("/dev/kmsg", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(handle, message)
    except OSError:
        pass
    finally:
        os.close(handle)
