"""daphne."""

from server_cases import APPS, ODD, Case

CASE = Case(
    name="daphne",
    project={"path": str(APPS), "run": ["daphne", "asgi:app", "--server-name", ODD]},
    logs=True,
)
