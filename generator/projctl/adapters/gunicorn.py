"""gunicorn: takes every descriptor of LISTEN_FDS when LISTEN_PID is its own, and says READY=1."""

from projctl.adapters.adapter import Adapter

_FOREGROUND = "leave it out: systemd runs the server in the foreground"

ADAPTER = Adapter(
    name="gunicorn",
    programs=("gunicorn",),
    modules=("gunicorn",),
    notifies=True,
    reload_signal="SIGHUP",
    refused={
        "--reuse-port": "leave it out: gunicorn drops inherited sockets with it",
        "-D": _FOREGROUND,
        "--daemon": _FOREGROUND,
    },
    # 127.0.0.1 - - [21/Nov/2026:10:58:01 +0000] "GET / HTTP/1.1" 200 5 "-" "curl"
    access_log=r'\] "[A-Z]+ [^"]*" (?P<status>\d{3}) (?:\d+|-) "',
)
