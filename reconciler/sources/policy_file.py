"""Reads the policy file."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from reconciler.model.errors import PolicyInvalid, Problem
from reconciler.sources.document import FileBroken, read_document
from reconciler.sources.names import display
from reconciler.sources.root import open_anywhere, read_regular
from reconciler.sources.validation import validated
from reconciler.spec.mistake import Mistake
from reconciler.spec.policy import Policy


def read_policy(path: Path | None) -> Policy:
    """The policy in the file, or the built-in one without a file.

    Raises `PolicyInvalid` for any mistake: a policy is never used in part.
    """
    file = display(str(path))
    try:
        return _policy(_contents(path) if path else b"{}", file)
    except FileBroken as error:
        raise PolicyInvalid(error.problems) from error
    except Mistake as error:
        raise PolicyInvalid((Problem(file, 0, 0, error.message, error.hint),)) from error
    except OSError as error:
        raise PolicyInvalid((Problem(file, 0, 0, f"cannot be read: {error.strerror}"),)) from error


def rule_lines(path: Path) -> Mapping[str, int]:
    """The line of each key in a file that `read_policy` accepts, by its full name: `{"limits.mem_limit": 3}`."""
    return read_document(_contents(path), display(str(path))).lines


def _contents(path: Path) -> bytes:
    return read_regular(open_anywhere(path))


@lru_cache(maxsize=1)
def _policy(contents: bytes, file: str) -> Policy:
    """The same object while the contents are the same, so that comparing policies is cheap."""
    return validated(read_document(contents, file), Policy)
