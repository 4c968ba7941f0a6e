"""puma: takes every socket of LISTEN_FDS, and with this option binds nothing else.

It says READY=1 only from version 6 on, or with the gem sd_notify, so nobody waits for it. On SIGUSR2 it executes
itself anew and, with that option, forgets the socket: it has no reload.
"""

from projctl.adapters.adapter import Adapter

ADAPTER = Adapter(
    name="puma",
    programs=("puma",),
    options={"--bind-to-activated-sockets": "only"},
    access_log=r'" (?P<status>[1-5]\d\d) (?:\d+|-) (?P<seconds>\d+\.\d+)$',
)
