"""Runs beside the units: stops what is idle and reports what happened."""
