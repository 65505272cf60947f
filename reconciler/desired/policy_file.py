"""The policy's file."""

from pathlib import Path

from reconciler.desired.document import FileBroken, read_document
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
        return validated(read_document(read_regular(open_anywhere(path)), file), Policy)
    except FileBroken as error:
        raise PolicyInvalid(error.problems) from error
    except Mistake as error:
        raise PolicyInvalid((Problem(file, 0, 0, error.message, error.hint),)) from error
    except OSError as error:
        raise PolicyInvalid((Problem(file, 0, 0, f"cannot be read: {error.strerror}"),)) from error
