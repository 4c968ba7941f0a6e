"""uWSGI with one worker."""

from server_cases import APPS, ODD, Case

CASE = Case(
    name="uwsgi",
    project={
        "path": str(APPS),
        "run": ["uwsgi", "--wsgi-file", "wsgi.py", "--callable", "app", "--set-placeholder", f"odd={ODD}"],
    },
    logs=True,
)
