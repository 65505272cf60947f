"""The operator of the system tests works here, too."""

from tests.system.conftest import operator

__all__ = ["operator"]
