"""A script on Node's http module."""

from server_cases import APPS, ODD, Case

CASE = Case(name="node", project={"path": str(APPS), "run": ["node", "node.cjs", ODD]}, held=511)
