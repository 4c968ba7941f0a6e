"""The small program that runs as root: it does for the agent what takes privileges, to units of projctl only."""
