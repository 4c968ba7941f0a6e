"""Requests as the projects' own access logs tell of them, read from the journal in bulk."""
