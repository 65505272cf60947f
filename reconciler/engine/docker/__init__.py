"""A Docker Engine, or what speaks its API."""
