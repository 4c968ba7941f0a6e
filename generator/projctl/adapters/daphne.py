"""daphne: takes descriptors as Twisted endpoints; says nothing when it is ready."""

from projctl.adapters.adapter import Adapter

ADAPTER = Adapter(
    name="daphne",
    programs=("daphne",),
    modules=("daphne",),
    # `--fd` takes one only, and takes it for IPv4, which garbles the clients' addresses on an IPv6 socket.
    arguments=("--endpoint", "systemd:domain=INET6:index={index}"),
    replaced=("-p", "--port", "-b", "--bind", "-u", "--unix-socket", "--fd", "-e", "--endpoint"),
    # 127.0.0.1:50172 - - [21/Nov/2026:11:02:10] "GET /" 200 5
    access_log=r'\] "[A-Z]+ [^"]*" (?P<status>\d{3}) (?:\d+|-)$',
)
