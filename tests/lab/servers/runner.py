"""projctl-serve with an ASGI and a WSGI application, each on a socket of its own."""

from server_cases import APPS, Case

CASE = Case(
    name="runner",
    project={"path": str(APPS), "run": ["projctl-serve", "s0=asgi:app", "s1=wsgi:app", "--access-log"]},
    sockets=2,
    expects_loss=False,
    logs=True,
)
