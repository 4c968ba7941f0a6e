"""native: a program that reads LISTEN_FDS itself (sd_listen_fds(3)); only `server: native` names it."""

from projctl.adapters.adapter import Adapter

ADAPTER = Adapter(name="native")
