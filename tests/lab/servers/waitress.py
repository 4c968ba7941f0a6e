"""waitress by the command that its users write, on two sockets."""

from server_cases import APPS, ODD, Case

CASE = Case(
    name="waitress",
    project={"path": str(APPS), "run": ["waitress-serve", "--ident", ODD, "wsgi:app"]},
    sockets=2,
    expects_loss=False,
)
