"""uvicorn."""

from server_cases import APPS, ODD, Case

CASE = Case(
    name="uvicorn",
    project={"path": str(APPS), "run": ["uvicorn", "asgi:app", "--header", f"X-Odd:{ODD}"]},
    logs=True,
)
