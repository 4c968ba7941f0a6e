"""The preflight of a run of `apply` or `check`: tries what has not passed yet, remembers what passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl import apply
from projctl.diagnostics import ProjctlError
from projctl.preflight import cache, trials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from projctl.build import Build
    from projctl.scope import Scope

_FILE = "preflight.json"


def require(
    found: Build, projects: Iterable[str], scope: Scope, tell: Callable[[str], None] = lambda _: None
) -> int:
    """How many projects were started for a trial; raises what went wrong, of all of them at once.

    Call it under the lock of the state directory: what passed is remembered there and not tried again until
    something that it depends on changes.
    """
    planned = trials.plan(found, sorted(projects), user_mode=scope.user)
    if not planned:
        return 0
    file = scope.state / _FILE
    text = file.read_text(errors="replace") if file.is_file() else None
    passed = {
        name: key
        for name, key in cache.loads(text).items()
        if name in found.fleet.projects.keys() | found.kept
    }
    pending = [trial for trial in planned if trial.key is None or passed.get(trial.project) != trial.key]
    verdicts = trials.run(pending, tell)
    good = {trial.project: trial.key for trial in pending if trial.key and verdicts[trial.project].good}
    if good:
        apply.write(file, cache.dumps(passed | good), mode=0o600)
    if problems := trials.problems(found, pending, verdicts):
        raise ProjctlError(*problems)
    return len(pending)
