"""A mistake in what somebody wrote, explained to that person."""

from reconciler.spec.text import printable

SHOWN_MAX = 60


class Mistake(ValueError):
    """`message` says what is wrong, `hint` how to correct it; neither holds a value of `environment`.

    `at` is where the mistake lies below the value that was looked at: `("volumes", 1)`.
    """

    def __init__(self, message: str, hint: str = "", at: tuple[str | int, ...] = ()) -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.message, self.hint, self.at = message, hint, at


def shown(value: object) -> str:
    """A value in a message: short, on one line, and never the inside of a list or a mapping."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return f"'{printable(value, SHOWN_MAX)}'"
        case int() | float():
            return printable(str(value), SHOWN_MAX)
        case list() | tuple():
            return "a list"
        case _:
            return "a mapping"
