"""A damaged port registry: what is in use comes back from the units, what can be read keeps its time."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from projctl import apply, claims
from projctl.installed import Installed, read
from projctl.recovery import ports_in_use, rebuild
from projctl.registry import Entry, Registry, dumps
from projctl.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

GOLDEN = Path(__file__).parent / "golden/system-252"
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
OLD, STAMP = "2025-06-01T00:00:00Z", "2026-01-31T12:00:00Z"


def socket(listen: str, name: str = "http", more: str = "") -> str:
    head = "# Rendered by projctl 1 from m.yaml:1\n[Socket]\nListenStream=\n"
    return f"{head}ListenStream={listen}\nFileDescriptorName={name}\n{more}"


FILES = {
    "projctl-shop.socket": socket("3400", "public"),
    "projctl-shop.admin.socket": socket("[::1]:3401", "admin"),
    "projctl-pool@0.socket": socket("127.0.0.1:5001"),
    "projctl-pool@1.socket": socket("127.0.0.1:5002"),
    "projctl-wide@0.socket": socket("5009", more="ReusePort=yes\n"),
    "projctl-wide@1.socket": socket("5009", more="ReusePort=yes\n"),
    "projctl-file.socket": socket("/run/x%%y.sock"),
    "projctl-files.backend.service": '[Service]\nEnvironment="PORT=30001"\nEnvironment="HOST=127.0.0.1"\n',
    "projctl-alone.backend.service": '[Service]\nEnvironment="PORT=5555"\nPrivateNetwork=yes\n',
    "projctl-shop.service": '[Service]\nEnvironment="PORT=3400"\n',
    "projctl.target": "[Unit]\n",
}
IN_USE = {
    ("shop", "public"): (None, 3400),
    ("shop", "admin"): ("::1", 3401),
    ("pool", "http@0"): ("127.0.0.1", 5001),
    ("pool", "http@1"): ("127.0.0.1", 5002),
    ("wide", "http"): (None, 5009),
    ("files", "backend"): ("127.0.0.1", 30001),
}


def test_units_tell_every_port_in_use() -> None:
    assert ports_in_use(FILES) == IN_USE


def test_rendered_units_tell_what_the_registry_said() -> None:
    files = {path.name: path.read_text() for path in GOLDEN.iterdir()}
    found = ports_in_use(files)
    sockets = [text for name, text in files.items() if name.endswith(".socket")]
    listening = {re.findall("^ListenStream=(.+)$", text, re.MULTILINE)[-1] for text in sockets}
    public = [endpoint for key, endpoint in found.items() if not key[1].startswith("backend")]
    assert len(found) >= 10
    assert {port for _, port in public} == {int(a.rpartition(":")[2]) for a in listening if a[0] != "/"}
    assert ("data", "backend") in found


def test_nothing_in_use_is_lost_whatever_the_damage() -> None:
    stored = Registry({key: Entry(port, host, OLD) for key, (host, port) in IN_USE.items()})
    whole = dumps(stored)
    for length in range(0, len(whole), 7):
        found = rebuild(whole[:length], FILES, NOW)
        assert {key: (entry.host, entry.port) for key, entry in found.entries.items()} == IN_USE
        legible = whole[:length].count("}")
        assert [entry.since for entry in found.entries.values()].count(OLD) == legible


def test_what_is_not_installed_is_kept_unless_somebody_has_its_port() -> None:
    rows = Registry(
        {("planned", "http"): Entry(6000, None, OLD), ("usurper", "http"): Entry(3400, "10.0.0.1", OLD)},
        {("gone", "http"): Entry(7000, None, OLD)},
    )
    found = rebuild(dumps(rows)[:-3], FILES, NOW)
    assert found.entries["planned", "http"] == Entry(6000, None, OLD)
    assert ("usurper", "http") not in found.entries
    assert found.history == {
        ("gone", "http"): Entry(7000, None, OLD),
        ("usurper", "http"): Entry(3400, "10.0.0.1", STAMP),
    }


# --- the file


@pytest.fixture
def scope(tmp_path: Path) -> Iterator[Scope]:
    """The scope of a user whose files all lie in a directory of the test's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROJCTL_STATE_DIR", str(tmp_path / "state"))
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        yield Scope(user=True)


def kept(scope: Scope) -> list[str]:
    return [path.read_text() for path in sorted(scope.state.glob("ports.json.damaged-*"))]


def test_a_damaged_file_is_read_with_a_warning_and_stays(scope: Scope) -> None:
    apply.write(scope.state / "ports.json", '{"version": 1, "giv')
    found, (problem,) = claims.read_registry(scope, Installed(FILES))
    assert {key: (entry.host, entry.port) for key, entry in found.entries.items()} == IN_USE
    assert problem.severity == "warning"
    assert "ports.json: line 1, column 16: " in problem.message
    assert problem.message.endswith("; rebuilt from the installed units and what can be read: 6 ports")
    assert apply.read_registry(scope) == '{"version": 1, "giv'
    assert kept(scope) == []


def test_a_missing_file_is_a_warning_only_where_something_is_installed(scope: Scope) -> None:
    assert claims.read_registry(scope, Installed()) == (Registry(), [])
    found, (problem,) = claims.read_registry(scope, Installed(FILES))
    assert len(found.entries) == len(IN_USE)
    assert problem.message.startswith("cannot find ")


def test_writing_sets_a_damaged_file_aside_once(scope: Scope) -> None:
    for damaged in ("one", "two", "one"):
        apply.write(scope.state / "ports.json", damaged)
        apply.write_registry(scope, dumps(Registry()))
        assert apply.read_registry(scope) == dumps(Registry())
    assert sorted(kept(scope)) == ["one", "two"]
    apply.write_registry(scope, dumps(Registry({("a", "http"): Entry(1, None, OLD)})))
    assert len(kept(scope)) == 2


def test_the_fixture_looks_at_no_files_of_this_machine(scope: Scope, tmp_path: Path) -> None:
    assert scope.state.is_relative_to(tmp_path) and scope.units.is_relative_to(tmp_path)
    assert read(scope).files == {}
