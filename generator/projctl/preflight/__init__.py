"""Preflight: each project's command started once, outside systemd, to see whether it takes its socket."""
