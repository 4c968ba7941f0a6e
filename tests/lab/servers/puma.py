"""puma with its own request log."""

from server_cases import APPS, Case

CASE = Case(
    name="puma",
    project={"path": str(APPS / "puma"), "run": ["puma", "--log-requests", "config.ru"]},
    logs=True,
)
