"""An Express application."""

from nodejs import PACKAGES
from server_cases import APPS, ODD, Case

CASE = Case(
    name="express",
    project={"path": str(APPS), "run": ["node", "express.cjs", ODD], "env": {"NODE_PATH": str(PACKAGES)}},
)
