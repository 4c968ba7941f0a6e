"""Renders and applies socket-activated systemd units, one server per project."""

__version__ = "0.1.0"
#: The oldest systemd that is supported; newer ones understand all that is written for it.
OLDEST_SYSTEMD = 252
