"""Runs inside a project: readiness helpers."""
