"""Fails when it is imported."""

VALUE = 1 / 0
