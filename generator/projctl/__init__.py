"""Renders and applies socket-activated systemd units, one server per project."""
