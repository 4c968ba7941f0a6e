"""Vite's own server, which opens a port itself."""

from functools import partial

from nodejs import copy
from server_cases import APPS, Case

CASE = Case(
    name="vite",
    project={"run": "vite --host $HOST --port $PORT --strictPort"},
    prepare=partial(copy, APPS / "vite"),
    tells=False,
)
