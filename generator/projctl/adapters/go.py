"""go: a compiled program that takes LISTEN_FDS, mostly by the package `activation`; `server: go` names it."""

from projctl.adapters.adapter import Adapter

ADAPTER = Adapter(
    name="go",
    programs=("go",),
    refused={
        "run": 'build it once ("go build -o server .") and run what that made: a child loses the socket',
    },
)
