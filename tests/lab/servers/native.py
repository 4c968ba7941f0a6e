"""A small program that reads LISTEN_FDS itself, on two sockets."""

import sys

from server_cases import APPS, ODD, Case

CASE = Case(
    name="native",
    project={"path": str(APPS), "run": [sys.executable, "plain.py", ODD], "server": "native"},
    sockets=2,
    expects_loss=False,
)
