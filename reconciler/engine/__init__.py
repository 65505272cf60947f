"""The calls to a Docker Engine."""
