"""A server that opens its own port, behind systemd-socket-proxyd."""

from server_cases import APPS, Case

CASE = Case(
    name="proxy",
    project={"path": str(APPS), "run": "uvicorn asgi:app --host $HOST --port $PORT", "server": "proxy"},
)
