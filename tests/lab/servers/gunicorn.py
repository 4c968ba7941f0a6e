"""gunicorn with one worker."""

from server_cases import APPS, ODD, Case

CASE = Case(
    name="gunicorn",
    project={"path": str(APPS), "run": ["gunicorn", "wsgi:app", "--access-logfile", "-", "--name", ODD]},
    expects_loss=False,
    logs=True,
)
