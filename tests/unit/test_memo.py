"""What is recalled is what would be worked out again."""

from reconciler.planning.memo import Memo
from reconciler.spec.sandbox import Sandbox


class Counting:
    """A pure function that counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, number: int, text: str) -> str:
        self.asked += 1
        return text * number


def test_the_same_arguments_are_not_worked_out_again() -> None:
    """Pass after pass the answer stays; of texts and mappings, equal is the same."""
    memo, repeat = Memo(), Counting()
    for _ in range(3):
        memo.next_pass()
        assert memo(repeat, "web", 2, "".join(["a", "b"])) == "abab"
    assert repeat.asked == 1


def test_another_argument_asks_again() -> None:
    """Each thing and each function has an answer of its own."""
    memo, repeat, other = Memo(), Counting(), Counting()
    answers = []
    for number in (1, 2, 2):
        memo.next_pass()
        answers += [memo(repeat, "web", number, "a"), memo(repeat, "api", 1, "b"), memo(other, "web", 3, "c")]
    assert answers == ["a", "b", "ccc", "aa", "b", "ccc", "aa", "b", "ccc"]
    assert (repeat.asked, other.asked) == (3, 1)


def test_what_a_pass_does_not_ask_for_is_forgotten() -> None:
    """Sandboxes come and go; what is remembered does not grow."""
    memo, repeat = Memo(), Counting()
    for about in ("web", "api", "web"):
        memo.next_pass()
        memo(repeat, about, 1, "a")
    assert repeat.asked == 3


def _said(sandbox: Sandbox) -> set[str]:
    return sandbox.model_fields_set


def test_an_equal_model_is_another_one() -> None:
    """A file that says what is the default anyway may be refused where one that leaves it out is not."""
    memo, said = Memo(), []
    for sandbox in (Sandbox(), Sandbox(mem_limit=512 << 20)):
        memo.next_pass()
        said.append(memo(_said, "web", sandbox))
    assert said == [set(), {"mem_limit"}]
