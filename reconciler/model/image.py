"""References to images: `busybox:1.36`, `ghcr.io/owner/name@sha256:...`."""

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from reconciler.model.mistake import Mistake, shown

REFERENCE_MAX = 512

_HOST = r"(?:localhost|(?=[^/]*[.:])[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)*|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
"""The first part is a registry only when it has a dot or a port, or is `localhost`."""
_COMPONENT = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_REFERENCE = re.compile(rf"(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*(?::{_TAG})?(?:@sha256:[0-9a-f]{{64}})?")
_ID = re.compile(r"(?:sha256:)?[0-9a-f]{64}")


def _reference(value: str) -> str:
    if not value:
        raise Mistake("is empty", "name an image, such as busybox:1.36")
    if _ID.fullmatch(value):
        raise Mistake("is the id of an image, not its name", "write such as name@sha256:... to fix the content")
    if len(value) > REFERENCE_MAX or not _REFERENCE.fullmatch(value):
        hint = "use small letters" if _REFERENCE.fullmatch(value.lower()) else "write such as name:tag"
        raise Mistake(f"{shown(value)} is no reference to an image", hint)
    return value


Image = Annotated[
    str,
    AfterValidator(_reference),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": REFERENCE_MAX,
            "pattern": f"^(?!{_ID.pattern}$){_REFERENCE.pattern}$",
        }
    ),
]
