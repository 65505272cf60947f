"""The `$` in a text, which is what it is in Compose."""

import re

from reconciler.spec.mistake import Mistake

VARIABLE = re.compile(r"(?<!\$)(?:\$\$)*(\$)(?=[A-Za-z_{])")
"""The group is the `$` for which Compose would put a value."""


def literal(text: str) -> str:
    """The text with `$` for each `$$`; raises `Mistake` where Compose would put the value of a variable.

    Every other `$` stands for itself, as in Compose: `$5`, `$(date)`, `^a$`.
    """
    if VARIABLE.search(text):
        raise Mistake(
            "a variable stands here, and there is no interpolation", "write its value, or `$$` for a dollar sign"
        )
    return text.replace("$$", "$")
