"""caddy: a site takes a socket by `bind fd/3` (from 2.9 on); says READY=1."""

from projctl.adapters.adapter import Adapter

ADAPTER = Adapter(
    name="caddy",
    programs=("caddy",),
    notifies=True,
    most_sockets=1,
    asks='write "bind fd/3" in the site',
    refused={"start": 'write "run": systemd runs the server in the foreground'},
    access_log="json",
)
