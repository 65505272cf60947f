"""The calls to an engine."""
