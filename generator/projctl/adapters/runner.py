"""projctl-serve: takes every socket, each for the application that is named like it, and says READY=1."""

from projctl.adapters.adapter import Adapter

ADAPTER = Adapter(
    name="runner",
    programs=("projctl-serve",),
    modules=("projctl_runtime",),
    notifies=True,
    access_log=r'^\S+ \S+ "[A-Z]+ [^"]*" (?P<status>\d{3}) (?P<seconds>\d+\.\d+)$',
)
