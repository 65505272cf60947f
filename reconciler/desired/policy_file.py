"""The policy's file."""

from collections.abc import Mapping
from pathlib import Path

from reconciler.desired.document import Document, FileBroken, read_document
from reconciler.desired.names import display
from reconciler.desired.root import open_anywhere, read_regular
from reconciler.desired.validation import validated
from reconciler.model.errors import PolicyInvalid, Problem
from reconciler.model.mistake import Mistake
from reconciler.model.policy import Policy


def read_policy(path: Path) -> Policy:
    """The policy in the file; raises `PolicyInvalid` on any trouble: there is no half of a policy."""
    file = display(str(path))
    try:
        return validated(_document(path, file), Policy)
    except FileBroken as error:
        raise PolicyInvalid(error.problems) from error
    except Mistake as error:
        raise PolicyInvalid((Problem(file, 0, 0, error.message, error.hint),)) from error
    except OSError as error:
        raise PolicyInvalid((Problem(file, 0, 0, f"cannot be read: {error.strerror}"),)) from error


def rule_lines(path: Path) -> Mapping[str, int]:
    """The line of each key in a file that `read_policy` accepts, by its full name: `{"limits.mem_limit": 3}`."""
    return _document(path, display(str(path))).lines


def _document(path: Path, file: str) -> Document:
    return read_document(read_regular(open_anywhere(path)), file)
