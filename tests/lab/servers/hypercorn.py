"""hypercorn with one worker."""

from server_cases import APPS, ODD, Case

CASE = Case(
    name="hypercorn",
    project={
        "path": str(APPS),
        "run": ["hypercorn", "asgi:app", "--access-logfile", "-", "--root-path", ODD],
    },
    logs=True,
)
