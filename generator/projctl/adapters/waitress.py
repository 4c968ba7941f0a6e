"""waitress: takes sockets only from a program, so a launcher of ours calls it, with the same arguments."""

from projctl.adapters.adapter import Adapter

ADAPTER = Adapter(
    name="waitress",
    programs=("waitress-serve",),
    modules=("waitress",),
    launcher="waitress_serve.py",
    replaced=("--listen", "--host", "--port", "--unix-socket", "--unix-socket-perms"),
    notifies=True,
)
