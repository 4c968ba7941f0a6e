"""Renders and applies socket-activated systemd units, one server per project."""

__version__ = "0.1.0"
