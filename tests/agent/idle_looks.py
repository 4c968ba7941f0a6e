"""Looks at a project and policies that the tests of the idle rule begin with."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from projctl_agent.idle import Observation, Policy

QUIET = Observation(
    taken=100.0, bytes_in=5000, counted=True, connections=frozenset(), received=None, sent=None,
    opaque=0, queue=0, cpu_seconds=1.0,
)  # fmt: skip
UNCOUNTED = replace(QUIET, bytes_in=0, counted=False)
#: A connection over a Unix socket, which does not tell when data moved on it.
OPAQUE = replace(UNCOUNTED, connections=frozenset({7}), opaque=1)
POLICY = Policy(idle_stop=100.0, min_uptime=0.0, busy_share=0.02, hold_connections=3600.0)
SHORT = replace(POLICY, hold_connections=5.0)


def later(before: Observation, seconds: float = 10.0, **changes: object) -> Observation:
    """The next look, ten seconds on; `quiet` stands for both directions."""
    if "quiet" in changes:
        changes |= {"received": changes.pop("quiet")} | {"sent": None}
    return replace(before, taken=before.taken + seconds, **changes)  # type: ignore[arg-type]


def connected(quiet: float | None, **changes: object) -> dict[str, object]:
    """A connection since whose last data so many seconds have passed."""
    return {"connections": frozenset({7}), "quiet": quiet} | changes


def lateness(policy: Policy) -> float:
    """How late a stop may be: 2 s, or a twentieth of the idle time where that is more."""
    assert policy.idle_stop is not None
    return max(2.0, policy.idle_stop / 20) + 1e-6


moves = st.fixed_dictionaries(
    {
        "moved": st.integers(0, 3),
        "connections": st.sampled_from([frozenset(), frozenset({1}), frozenset({1, 2})]),
        "queue": st.sampled_from([0, 0, 0, 1]),
        "cpu": st.sampled_from([0.0, 0.0, 0.0, 0.001, 5.0]),
    }
)
policies = st.builds(Policy, idle_stop=st.floats(0.5, 1e5), min_uptime=st.floats(0.0, 1e5))
