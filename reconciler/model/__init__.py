"""The values that everyone shares. Nothing here reads a file, a clock or an engine."""
