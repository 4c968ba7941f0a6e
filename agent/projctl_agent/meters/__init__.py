"""Figures that only grow: what runs used, how long they ran and slept; no restart makes them fall."""
