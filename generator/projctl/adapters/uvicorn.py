"""uvicorn: takes one descriptor by `--fd`; says nothing when it is ready."""

from projctl.adapters.adapter import BACKLOG, Adapter

_NEVER_IDLE = "leave it out: the reloader is for a terminal and never lets the server be idle"

ADAPTER = Adapter(
    name="uvicorn",
    programs=("uvicorn",),
    modules=("uvicorn",),
    arguments=("--fd", "{fd}"),
    options={"--backlog": BACKLOG},  # its own default is 2048
    most_sockets=1,
    refused={"--reload": _NEVER_IDLE},
    # INFO:     127.0.0.1:36294 - "GET / HTTP/1.1" 200 OK
    access_log=r'- "[A-Z]+ [^"]*" (?P<status>\d{3})\b',
)
