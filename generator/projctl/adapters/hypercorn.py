"""hypercorn: takes descriptors by `--bind fd://N`; says nothing when it is ready."""

from projctl.adapters.adapter import BACKLOG, Adapter

ADAPTER = Adapter(
    name="hypercorn",
    programs=("hypercorn",),
    modules=("hypercorn",),
    arguments=("--bind", "fd://{fd}"),
    options={"--backlog": BACKLOG},  # its own default is 100
    replaced=("-b", "--bind"),
    refused={
        "--reload": "leave it out: the reloader is for a terminal and never lets the server be idle",
        "-D": "leave it out: systemd runs the server in the foreground",
        "--daemon": "leave it out: systemd runs the server in the foreground",
    },
    # [2026-11-21 11:02:10 +0000] [7] [INFO] 127.0.0.1:50172 - - [21/Nov/2026:11:02:10 +0000] "GET / 1.1" 200 5 "-" "-"
    access_log=r'\] "[A-Z]+ [^"]*" (?P<status>\d{3}) (?:\d+|-) "',
)
