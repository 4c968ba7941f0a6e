"""Hides uvloop, as where it is not installed."""

raise ImportError("hidden")
