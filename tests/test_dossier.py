"""What `projctl info` reads out of units and journal entries."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from projctl import entries
from projctl.dossier import describe, last_stop
from projctl.scope import Scope

GOLDEN = Path(__file__).parent / "golden/system-252"
ENDED, FAILED = "7ad2d189f7e94e70a38c781354912448", "d9b373ed55a64feb8242e02dbe79a49c"


@pytest.mark.parametrize("unit", [p.name for p in sorted(GOLDEN.glob("*.service"))])
def test_every_rendered_server_has_its_facts(unit: str) -> None:
    found = describe((GOLDEN / unit).read_text())
    assert found["adapter"] and found["user"]
    assert found["manifest"].rpartition(":")[2].isdecimal()


def test_settings_of_a_unit_and_its_drop_ins() -> None:
    text = (
        '[Service]\nUser=shop\nMemoryMax=100\nEnvironment="PORT=1"\nEnvironment="SECRET=a b"\n'
        "EnvironmentFile=/etc/100%%.env\nWorkingDirectory=/srv\n"
        "[X-Projctl]\nManifest=/m%%.yaml:7\nAdapter=native\nIdleStopSec=900\nMinUptimeSec=60\nBusyCpu=0.5%\n"
        "[Service]\nMemoryMax=200\nEnvironment=MORE=1 'OTHER=x y'\n[X-Projctl]\nIdleStopSec=infinity\n"
    )
    assert describe(text) == {
        "manifest": "/m%.yaml:7",
        "adapter": "native",
        "user": "shop",
        "path": "/srv",
        "limits": {"MemoryMax": "200"},
        "idle": {"stop": None, "freeze": None, "min_uptime": 60.0, "hold_connections": None, "busy_cpu": 0.5},
        "environment": ["MORE", "OTHER", "PORT", "SECRET"],
        "env_files": ["/etc/100%.env"],
    }


def test_who_it_runs_as() -> None:
    assert describe("[Service]\nDynamicUser=yes\n")["user"] == "dynamic"
    assert describe("[Service]\n")["user"] == "root"
    assert describe("[Service]\n", user_mode=True)["user"] is None


def entry(unit: str, message_id: str, message: str, **more: str) -> dict[str, Any]:
    return {
        "__REALTIME_TIMESTAMP": "1769860800000000", "UNIT": unit, "MESSAGE_ID": message_id,
        "MESSAGE": message, **more,
    }  # fmt: skip


IDLE = entry("", "", "Stopping project a: not used for 9.0 s.", PROJCTL_EVENT="idle-stop")
FRONT, BACK = entry("a", ENDED, "a ended"), entry("a.backend", ENDED, "a.backend ended")
CRASH = entry("a", FAILED, "a failed")


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([FRONT, IDLE, FRONT], IDLE["MESSAGE"]),
        ([IDLE, FRONT, BACK], IDLE["MESSAGE"]),
        ([IDLE], IDLE["MESSAGE"]),
        ([IDLE, FRONT, FRONT], "a ended"),
        ([IDLE, FRONT, CRASH], "a failed"),
        ([CRASH], "a failed"),
    ],
)
def test_why_it_was_last_stopped(entries: list[dict[str, Any]], said: str) -> None:
    assert last_stop(entries) == f"2026-01-31T12:00:00Z {said}"


@pytest.mark.parametrize("value", [["a", "b"], [27, 91], None, 7])
@pytest.mark.parametrize("field", ["UNIT", "MESSAGE_ID", "MESSAGE", "PROJCTL_EVENT"])
def test_fields_that_are_no_text_are_unknown(field: str, value: object) -> None:
    """As journalctl prints fields that are repeated, binary or too long."""
    strange = [one | {field: value} for one in (IDLE, FRONT, BACK)]
    said = last_stop(strange)
    assert said and said.startswith("2026-01-31T12:00:00Z")
    assert str(value) not in said.removeprefix("2026-01-31T12:00:00Z")


def test_only_writers_that_can_be_believed_are_matched() -> None:
    """Each of the alternatives holds a field that journald itself sets."""
    for user, own in ((False, ()), (True, (f"_UID={os.getuid()}",))):
        for name in ("shop", "shop@1"):
            matches = entries.about(Scope(user), name, [f"projctl-{name}.service", f"projctl-{name}.socket"])
            groups = " ".join(matches).split(" + ")
            assert len(groups) == 4
            for words in (group.split() for group in groups):
                assert {"_PID", "_UID", "_SYSTEMD_UNIT", "_SYSTEMD_USER_UNIT"} & {
                    w.partition("=")[0] for w in words
                }
                assert set(own) <= set(words)


def test_what_never_ended_has_no_last_stop() -> None:
    assert last_stop([]) is None
