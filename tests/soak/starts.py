"""Settings of gunicorn that let it tell of each start by itself, beside systemd, its journal and the agent."""

from __future__ import annotations

import os
from pathlib import Path


def on_starting(_: object) -> None:
    """Before it takes any request: a line for this run, by the name that systemd gave it."""
    with Path(os.environ["STARTS"]).open("a") as file:
        file.write(f"{os.environ['INVOCATION_ID']}\n")
