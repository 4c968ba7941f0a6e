"""granian, which opens its port itself."""

from server_cases import APPS, Case

CASE = Case(
    name="granian",
    project={
        "path": str(APPS),
        "run": "granian --interface asgi --no-ws --host $HOST --port $PORT asgi:app",
    },
    tells=False,
)
