"""A SvelteKit application, built by adapter-node."""

from functools import partial

from nodejs import build
from server_cases import APPS, ODD, Case

CASE = Case(
    name="sveltekit",
    project={"run": ["node", "build", ODD]},
    prepare=partial(build, APPS / "sveltekit"),
    held=511,
)
