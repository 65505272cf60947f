"""reconciler keeps the sandboxes of a Docker Engine as a directory of YAML files declares them."""

__version__ = "0.1.0"
