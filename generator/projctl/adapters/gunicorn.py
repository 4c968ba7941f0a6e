"""gunicorn: takes every descriptor of LISTEN_FDS when LISTEN_PID is its own, and says READY=1."""

from projctl.adapters.adapter import Adapter

ADAPTER = Adapter(
    name="gunicorn",
    programs=("gunicorn",),
    modules=("gunicorn",),
    notifies=True,
    reload_signal="SIGHUP",
    refused={
        "--reuse-port": "leave it out: gunicorn drops inherited sockets with it",
        "-D": "leave it out: systemd runs the server in the foreground",
        "--daemon": "leave it out: systemd runs the server in the foreground",
    },
)
