"""Reads the policy file."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from reconciler.model.errors import PolicyInvalid, Problem
from reconciler.sources.document import Document, FileBroken, read_document
from reconciler.sources.names import display
from reconciler.sources.root import open_anywhere, read_regular
from reconciler.sources.validation import validated_policy
from reconciler.spec.mistake import Mistake
from reconciler.spec.policy import Policy


def read_policy(path: Path | None) -> Policy:
    """The policy in the file, or the built-in one without a file.

    Raises `PolicyInvalid` for any mistake: a policy is never used in part.
    """
    return _read(path)[0]


def rule_lines(path: Path | None) -> Mapping[str, int]:
    """The line of each key in the file, by its full name: `{"limits.mem_limit": 3}`; raises as `read_policy`."""
    return _read(path)[1].lines


def policy_notes(path: Path | None) -> tuple[Problem, ...]:
    """On what in the defaults means less than in Compose; raises as `read_policy`."""
    return _read(path)[2]


def _read(path: Path | None) -> tuple[Policy, Document, tuple[Problem, ...]]:
    file = display(str(path))
    try:
        return _parsed(read_regular(open_anywhere(path)) if path else b"{}", file)
    except FileBroken as error:
        raise PolicyInvalid(error.problems) from error
    except Mistake as error:
        raise PolicyInvalid((Problem(file, 0, 0, error.message, error.hint),)) from error
    except OSError as error:
        raise PolicyInvalid((Problem(file, 0, 0, f"cannot be read: {error.strerror}"),)) from error


@lru_cache(maxsize=1)
def _parsed(contents: bytes, file: str) -> tuple[Policy, Document, tuple[Problem, ...]]:
    """The same object while the contents are the same, so that comparing policies is cheap."""
    return validated_policy(read_document(contents, file))
