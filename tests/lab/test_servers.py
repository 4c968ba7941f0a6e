"""Every server in `servers/`, on a real systemd: cold, in a crowd, and stopped under a stream."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest
import server_cases
from server_cases import ODD
from server_stage import HEAD, Stage
from steps import wait_for

from projctl import adapters
from projctl.lab import Lab
from projctl_agent.access import lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CASES = server_cases.every()
STOPS = 20


class Table:
    """The figures of all servers, shown at the end of the session."""

    def __init__(self) -> None:
        self.rows: list[tuple[object, ...]] = []

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("servers")
        for name, *figures in (HEAD, *self.rows):
            terminalreporter.write_line(f"{name!s:16}" + "".join(f"{figure!s:>12}" for figure in figures))


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Table:
    shown = Table()
    request.config.pluginmanager.register(shown)
    return shown


@pytest.fixture(scope="module")
def servers_lab(_nothing_left: None, _shared: Path) -> Iterator[Lab]:
    with Lab.boot(binds=[_shared]) as booted:
        yield booted


@pytest.fixture(scope="module", params=CASES)
def stage(request: pytest.FixtureRequest, servers_lab: Lab, table: Table, _shared: Path) -> Iterator[Stage]:
    """A server, asleep when its first test begins."""
    number = list(CASES).index(request.param)
    # A case may come back to a worker whose other tests were taken over meanwhile.
    place = _shared / f"case-{request.param}-{len(list(_shared.iterdir()))}"
    with Stage(servers_lab, CASES[request.param], 3400 + 10 * number, place) as made:
        yield made
    table.rows.append(made.figures.row(made.case.name))


def test_first_request_from_cold(stage: Stage) -> None:
    assert stage.state("ActiveState") == ("inactive",)
    for port in stage.ports:
        assert stage.ask(port=port).status == 200
    assert stage.state("ActiveState", "NRestarts") == ("active", "0")


def test_nagle_is_off(stage: Stage) -> None:
    assert stage.no_delay()


def test_200_connections_at_once_from_cold(stage: Stage) -> None:
    stage.stop()
    assert stage.burst(200) == {"200": 200}


def test_backlog_of_the_held_socket(stage: Stage) -> None:
    stage.ask()
    stage.stop()
    assert stage.state("ActiveState", "Result", "MainPID") == ("inactive", "success", "0")
    stage.figures.backlog_after = stage.backlog()
    assert stage.figures.backlog_before > 511
    assert stage.figures.backlog_after == (stage.case.held or stage.figures.backlog_before)


#: nginx writes its title over both.
@pytest.mark.parametrize("stage", sorted(CASES.keys() - {"nginx"}), indirect=True, scope="module")
def test_arguments_and_environment_are_intact(stage: Stage) -> None:
    told = stage.told()
    assert told["env"]["ODD"] == ODD
    if told["argv"] is not None:
        given = iter(told["argv"])
        run = stage.case.project["run"]
        words = run if isinstance(run, list) else [word for word in run.split() if "$" not in word]
        # All words are there in their order; what the adapter needs may stand between them.
        assert [word for word in words[1:] if word not in given] == []


@pytest.mark.parametrize("stage", [n for n, c in CASES.items() if c.logs], indirect=True, scope="module")
def test_the_adapter_reads_the_access_log(stage: Stage) -> None:
    stage.ask()
    pattern = adapters.every()[stage.adapter].access_log
    assert pattern
    read = lines.reader(pattern, nullcontext())

    def statuses() -> set[str]:
        return {request.code for line in stage.journal().splitlines() if (request := read(line))}

    wait_for(lambda: statuses() == {"200"})


def test_stops_under_a_stream(stage: Stage) -> None:
    stage.stop_under_stream(STOPS)
    figures = stage.figures
    assert figures.requests > figures.lost_in_all + STOPS
    assert stage.case.expects_loss or figures.lost == {}
    assert stage.ask().status == 200
