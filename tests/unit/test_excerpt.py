"""The line that a problem is about, with a mark under its place, and without what nobody should see."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.cli.format.excerpt import ROOM_MIN, Excerpt, excerpt, source_lines
from reconciler.spec.text import UNFIT

SECRET = "hunter2"  # noqa: S105 - it guards nothing
ROOM = 60

MARKED = {
    "a key": ("memlimit: 64m", 1, "memlimit: 64m", "^^^^^^^^"),
    "a key in quotes": ('"memlimit": 64m', 1, '"memlimit": 64m', "^^^^^^^^^^"),
    "a value": ("mem_limit: 1g # much", 12, "mem_limit: 1g # much", "           ^^"),
    "a value with a colon": ("image: a/b:1", 8, "image: a/b:1", "       ^^^^^"),
    "a value between brackets": ("ports: [80, {target: 1}]", 9, "ports: [80, {target: 1}]", "        ^^"),
    "a bracket": ("ports: {a: 1}", 8, "ports: {a: 1}", "       ^"),
    "a value in quotes": ('user: "a b"', 7, 'user: "a b"', "      ^^^^^"),
    "the end of the line": ("user:", 6, "user:", "     ^"),
    "beyond the end": ("user:", 9, "user:", "     ^"),
    "wide characters": ("labels: {日本: 1, b: 2}", 18, "labels: {日本: 1, b: 2}", "                   ^"),
    "a wide place": ("labels: {日本: 1}", 10, "labels: {日本: 1}", "         ^^^^"),
    "combining characters": ("labels: {e\u0301: 1}", 14, "labels: {e\u0301: 1}", "            ^"),
    "tabs": ("user:\t\t1", 8, "user:        1", "             ^"),
    "an escape": ("user: \x1b[2J x", 12, "user: \\x1b[2J x", "              ^"),
    "a right-to-left override": ("user: \u202ex y", 9, "user: \\u202ex y", "             ^"),
    "spaces at the end": ("user: x   ", 7, "user: x", "      ^"),
}

INNOCENT = {
    "a key": "image: HERE",
    "a key that is nearly right": "memlimt: HERE",
    "a key of Compose": "privileged: HERE",
    "a key of the policy": "limits:\n  mem_limit: HERE",
    "an entry of a list": "ports:\n- HERE",
    "after a comment": "# why\nports:\n# why\n\n  - HERE",
    "before environment": "image: HERE\nenvironment: {}",
    "in the background": "command:\n- a && b &\n- HERE",
    "after environment": "environment:\n  A: 'b' # it's\nimage: HERE",
    "after environment on one line": 'environment: {A: "b", C: [d]}\nimage: HERE',
}

GUILTY = {
    "environment": "environment: HERE",
    "below environment": "environment:\n  A: HERE",
    "a list": "environment:\n- A=HERE",
    "behind blank lines and comments": "environment:\n\n  # why\n\n  A: HERE",
    "of the policy's defaults": "defaults:\n  image: x\n  environment:\n    A: HERE",
    "in capitals": "ENVIRONMENT: HERE",
    "misspelt": "enviroment: HERE",
    "misspelt more": "envronment:\n  A: HERE",
    "in quotes": '"environment": HERE',
    "escaped": '"environ\\x6dent": HERE',
    "a complex key": "? environment\n: HERE",
    "of a pasted Compose file": "services:\n  web:\n    environment:\n      A: HERE",
    "behind an anchor": "labels: &pairs\n  A: HERE\nenvironment: *pairs",
    "of a pasted Kubernetes file": "spec:\n  containers:\n  - env:\n    - HERE",
    "at the wrong place": "healthcheck:\n  environment: {A: HERE}",
    "JSON": '{"image": "x", "environment": {"A": "HERE"}}',
    "JSON in lines": '{\n  "image": "x",\n  "environment": {\n    "A": "HERE"\n  }\n}',
    "an unknown key": "variables: HERE",
    "a mapping that is not closed": "environment: {A: b,\nimage: HERE",
    "a text that is not closed": 'environment:\n  A: "b\nimage: HERE',
    "no key": "HERE",
    "a document that begins on its line": "--- {environment: HERE}",
}


@pytest.mark.parametrize(("line", "column", "shown", "mark"), MARKED.values(), ids=MARKED.keys())
def test_mark(line: str, column: int, shown: str, mark: str) -> None:
    """The mark is under its place, however wide what stands before it is in a terminal."""
    found = excerpt(["image: x", "", line], 3, column, ROOM)
    assert found is not None
    assert "".join(found) == shown
    assert found.mark == mark


@pytest.mark.parametrize("at", [8, 60, 500, 980, 999])
@pytest.mark.parametrize("character", ["x", "漢", "\x1b", " "])
def test_long_lines_are_cut(at: int, character: str) -> None:
    """Of a line that does not fit, what is around the place is shown, in no more columns than there are."""
    line = f"image: {character * (at - 8)}HERE {character * (1000 - at)}end"
    found = excerpt([line], 1, at, ROOM)
    assert found is not None
    assert found.marked == "HERE"
    assert columns(found) <= ROOM
    assert columns(found) > ROOM - 12 or "…" not in "".join(found)


def columns(found: Excerpt) -> int:
    """Of a terminal; a combining mark takes none."""
    base = [character for character in "".join(found) if unicodedata.category(character) not in {"Mn", "Me"}]
    return len(base) + sum(unicodedata.east_asian_width(character) in "WF" for character in base)


def test_a_long_place_is_cut() -> None:
    """A place that is itself too long for the line is cut, and leaves room for what is around it."""
    found = excerpt(["image: " + "x" * 1000], 1, 8, ROOM)
    assert found == Excerpt("image: ", "x" * (ROOM // 2 - 1) + "…", "")


@pytest.mark.parametrize("text", INNOCENT.values(), ids=INNOCENT.keys())
def test_innocent_lines_are_shown(text: str) -> None:
    """A line that can hold no value of `environment` is shown whole."""
    assert "HERE" in "".join(of_line_with("HERE", text) or ())


@pytest.mark.parametrize("text", GUILTY.values(), ids=GUILTY.keys())
def test_secrets_are_not_shown(text: str) -> None:
    """A line that may hold a value of `environment` is not, whatever column of it is asked for."""
    text = text.replace("HERE", SECRET)
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        for column in range(1, len(line) + 2):
            assert SECRET not in "".join(excerpt(lines, number, column, ROOM) or ())
    assert of_line_with(SECRET, text) is None


def test_the_key_before_a_secret_is_shown() -> None:
    """Where the place is the key itself, it is shown, and nothing of its value."""
    assert excerpt([f"enviroment: {SECRET}"], 1, 1, ROOM) == Excerpt("", "enviroment", ": …")


@given(st.text(max_size=200), st.integers(1, 210), st.integers(ROOM_MIN, 200))
@example("image: \x1b[31m\u202e\u2028\U000e0041漢\t", 8, ROOM_MIN)
def test_any_line(text: str, column: int, room: int) -> None:
    """Whatever a line holds, what is shown of it steers no terminal, fits, and has its mark within."""
    found = excerpt(["image: x", *text.split("\n")], 2, column, room)
    if found is not None:
        shown = "".join(found)
        assert not {character for character in shown if unicodedata.category(character) in UNFIT}
        assert columns(found) <= room
        assert 1 <= len(found.mark) <= room + 1


def of_line_with(word: str, text: str) -> Excerpt | None:
    """The excerpt of the place of a word."""
    before = text[: text.index(word)]
    return excerpt(text.split("\n"), before.count("\n") + 1, len(before) - before.rfind("\n"), ROOM)


@pytest.mark.parametrize("line", [0, 3])
def test_no_such_line(line: int) -> None:
    """A problem of the whole file, or of a line that has gone since, has no excerpt."""
    assert excerpt(["image: x", ""], line, 1, ROOM) is None


@pytest.mark.parametrize(
    ("contents", "lines"),
    [
        (b"a: 1\nb: 2", ["a: 1", "b: 2"]),
        (b"\xef\xbb\xbfa: 1\r\nb: 2\r\n", ["a: 1", "b: 2", ""]),
        (b"a: \xff\n", ["a: \ufffd", ""]),
        (b"", [""]),
    ],
)
def test_lines_of_a_file(contents: bytes, lines: list[str], tmp_path: Path) -> None:
    """Lines are those that the reader of YAML counts, also the last one without an end, and what is not UTF-8."""
    file = tmp_path / "a.yaml"
    file.write_bytes(contents)
    assert source_lines(str(file)) == lines


def test_what_cannot_be_read_has_no_lines(tmp_path: Path) -> None:
    """A file that has gone, a directory, and a link that leads elsewhere have none, and are no error."""
    (tmp_path / "link.yaml").symlink_to("/etc/passwd")
    for file in (tmp_path / "gone.yaml", tmp_path, tmp_path / "link.yaml", tmp_path / "no" / "a.yaml"):
        assert source_lines(str(file)) == []
