"""nginx, whose configuration must name the very address of the socket."""

from pathlib import Path

from server_cases import Case

_CONFIGURATION = """\
pid nginx.pid;
error_log stderr notice;
events {}
http {
    access_log syslog:server=unix:/dev/log,nohostname;
    server {
        listen [::]:PORT ipv6only=off;
        location / { return 200 "here"; }
        location = /missing { return 404; }
    }
}
"""


def _prepare(place: Path) -> None:
    for port in range(3400, 4000):
        (place / f"{port}.conf").write_text(_CONFIGURATION.replace("PORT", str(port)))


CASE = Case(
    name="nginx",
    project={"run": "nginx -p ./ -c ${PORT}.conf"},
    prepare=_prepare,
    tells=False,
    logs=True,
)
