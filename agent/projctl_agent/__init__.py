"""The agent: stops projects that nobody uses, and tells from the journal what happened."""

__version__ = "0.1.0"
