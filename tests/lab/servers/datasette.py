"""Datasette without a database."""

from server_cases import APPS, Case

CASE = Case(
    name="datasette",
    project={"path": str(APPS), "run": "datasette serve --host $HOST --port $PORT"},
    tells=False,
)
