"""proxy: systemd-socket-proxyd in front of a server that opens `$PORT` itself; serves any server."""

from projctl.adapters.adapter import Adapter

ADAPTER = Adapter(name="proxy", proxied=True, most_sockets=1)
