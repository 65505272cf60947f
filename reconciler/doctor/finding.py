"""What a check says."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    GOOD = "good"
    COULD_BE_BETTER = "could be better"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the list. `why` it matters and the commands that `mend` it are there unless the verdict is good.

    A mend that is no command, but something to do, is a comment of the shell: `# ...`.
    """

    check: str
    verdict: Verdict
    text: str
    why: str = ""
    remedy: tuple[str, ...] = ()


def good(check: str, text: str) -> Finding:
    return Finding(check, Verdict.GOOD, text)


def could_be_better(check: str, text: str, why: str, *remedy: str) -> Finding:
    return Finding(check, Verdict.COULD_BE_BETTER, text, why, remedy)


def wrong(check: str, text: str, why: str, *remedy: str) -> Finding:
    return Finding(check, Verdict.WRONG, text, why, remedy)


def unchecked(check: str, why: str, *remedy: str) -> Finding:
    return Finding(check, Verdict.COULD_BE_BETTER, f"could not be checked: {why}", "", remedy)
