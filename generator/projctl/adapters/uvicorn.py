"""uvicorn: takes one descriptor by `--fd`; says nothing when it is ready."""

from projctl.adapters.adapter import Adapter

_NEVER_IDLE = "leave it out: the reloader is for a terminal and never lets the server be idle"

ADAPTER = Adapter(
    name="uvicorn",
    programs=("uvicorn",),
    modules=("uvicorn",),
    arguments=("--fd", "{fd}"),
    most_sockets=1,
    refused={"--reload": _NEVER_IDLE},
)
