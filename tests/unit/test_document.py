"""The strict reader of YAML: whatever the bytes, a document or problems."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.model.errors import Problem
from reconciler.sources.document import PROBLEMS_MAX, SIZE_BYTES_MAX, Document, FileBroken, Place, read_document

BROKEN_BYTES = {
    "empty": (b"", "x: the file declares nothing"),
    "a byte order mark alone": (b"\xef\xbb\xbf", "x: the file declares nothing"),
    "not UTF-8": (b"image: x\nuser: \xff", "x:2:7: the file is not UTF-8"),
    "half a character": (b"a: \xc3", "x:1:4: the file is not UTF-8"),
    "an overlong slash": (b"a: \xc0\xaf", "x:1:4: the file is not UTF-8"),
    "a surrogate in UTF-8": (b"a: \xed\xa0\x80", "x:1:4: the file is not UTF-8"),
    "UTF-16": ("a: b".encode("utf-16"), "x:1:1: the file is not UTF-8"),
    "NUL": (b"a: b\0", "x:1:5: the character U+0000 is not allowed"),
    "escape": (b"a: b\nc: \x1b[2J", "x:2:4: the character U+001B is not allowed"),
    "DEL": (b"a: \x7f", "x:1:4: the character U+007F is not allowed"),
    "a lone carriage return": (b"a: b\rc: d", "x:1:5: the character U+000D is not allowed"),
    "an escaped carriage return": (b'a: "b\\r"', "x:1:4: the character U+000D is not allowed"),
    "next line": ("a: b\x85c: d".encode(), "x:1:5: the character U+0085 is not allowed"),
    "line separator": ("a: b\u2028c: d".encode(), "x:1:5: the character U+2028 is not allowed"),
    "right-to-left override in a comment": ("a: b # \u202e".encode(), "x:1:8: the character U+202E is not allowed"),
    "right-to-left isolate in a key": (b'"a\\u2067": b', "x:1:1: the character U+2067 is not allowed"),
    "a second byte order mark": (b"\xef\xbb\xbf\xef\xbb\xbfa: b", "x:1:1: the character U+FEFF is not allowed"),
    "one byte too many": (b"#" * (SIZE_BYTES_MAX + 1), "x: the file is too large"),
    "depth 30,000": (b"[" * 30_000, "x:1:21: more than 20 levels"),
    "depth 8,000 of mappings": (b"{a: " * 8_000, "x:1:81: more than 20 levels"),
    "depth 15,000 of blocks": (b"- " * 15_000, "x:1:43: more than 20 levels"),
    "depth 15,000 of keys": (b"? " * 15_000, "x:1:3: a key must be text"),
    "15,000 values": (b"[" + b"a," * 15_000, "x:1:1996: the file has more than 1000 values"),
    "5,000 documents": (b"--- a\n" * 5_000, "x:2:1: a second document begins"),
    "an escape beyond Unicode": (b'a: "\\U00110000"', "x:1:7: not YAML: something before here cannot be read"),
}

SCALARS = {
    "null": None,
    "~": None,
    "": None,
    "true": True,
    "False": False,
    "0": 0,
    "-17": -17,
    "+5": 5,
    "123456789012345678": 123456789012345678,
    "0.5": 0.5,
    ".5": 0.5,
    "1.": 1.0,
    "1e3": 1000.0,
    "-1.5E-3": -0.0015,
}

STRINGS = [
    *("no", "yes", "on", "off", "y", "n", "nULL", "tRUE"),
    *("010", "-010", "00", "0x1F", "0o17", "0b1", "1_000", "1234567890123456789"),
    *(".inf", "-.inf", ".nan", ".", "1.2.3", "1e", "e3", ".e3", "1e5e5", "+", "-.", "+-1", "1" * 41, "1." + "1" * 40),
    *("22:22", "2024-01-02", "2024-13-45", "=", "1 000", "1٣"),
]


def value_of(text: str) -> object:
    return read_document(text.encode(), "x").value


def problems_of(data: bytes) -> tuple[Problem, ...]:
    with pytest.raises(FileBroken) as caught:
        read_document(data, "x")
    return caught.value.problems


@pytest.mark.parametrize(("data", "message"), BROKEN_BYTES.values(), ids=BROKEN_BYTES.keys())
def test_broken_bytes(data: bytes, message: str) -> None:
    """What is no harmless YAML is refused, at the line and column where it goes wrong."""
    (problem,) = problems_of(data)
    assert str(problem).startswith(message)


@pytest.mark.parametrize(("text", "value"), SCALARS.items())
def test_scalar(text: str, value: object) -> None:
    """Plain scalars have the types of YAML 1.2's core schema."""
    mapping = read_document(f"a: {text}".encode(), "x").value
    assert mapping == {"a": value}
    assert isinstance(mapping["a"], type(value))


@pytest.mark.parametrize("text", STRINGS)
def test_string(text: str) -> None:
    """What YAML 1.1 or a lax reader takes for something else is a string."""
    assert value_of(f"a: {text}") == {"a": text}


@pytest.mark.parametrize("text", ["null", "true", "1", "1.5"])
def test_quoted_is_a_string(text: str) -> None:
    """A quoted scalar is a string, whatever it looks like."""
    assert value_of(f"['{text}', \"{text}\"]") == [text, text]


@pytest.mark.parametrize("text", ["1.10", "1e3", "+5", "-0", "100.000"])
def test_numbers_remember_how_they_were_written(text: str) -> None:
    """The text of a number is the one in the file."""
    (number,) = read_document(f"[{text}]".encode(), "x").value
    assert str(number) == text
    assert number == float(text)


def test_keys_are_strings() -> None:
    """A key is its text, also where a value would be a number, a boolean or null."""
    assert value_of("{1: a, true: b, null: c, 1.10: d}") == {"1": "a", "true": "b", "null": "c", "1.10": "d"}


def test_places() -> None:
    """The line and column of every key and every value are known, and for what is not there, those around it."""
    document = read_document(b"# first\nimage: x\nports:\n  - 80\n  - {target: 81}\n", "x")
    assert document.place_of_key(("ports",)) == Place(3, 1)
    assert document.place(("image",)) == Place(2, 8)
    assert document.place(("ports", 0)) == Place(4, 5)
    assert document.place_of_key(("ports", 1, "target")) == Place(5, 6)
    assert document.place(("ports", 1, "target")) == Place(5, 14)
    assert document.place(("ports", 1, "published")) == Place(5, 5)
    assert document.place(("user", "name")) == Place(2, 1)


def test_places_count_characters() -> None:
    """Columns count characters, not bytes, and line ends of Windows count as one."""
    document = read_document("a: ü\r\nbü: [ö, x]\r\n".encode(), "x")
    assert document.place(("bü", 1)) == Place(2, 9)


def test_places_of_aliases() -> None:
    """What an alias stands for has the place of the anchor, wherever it is used, and the line that uses it."""
    document = read_document(b"a: &a\n  b: [&c c, d]\nx: {y: *a}\nz: {<<: *a}\n", "x")
    assert document.value == {"a": {"b": ["c", "d"]}, "x": {"y": {"b": ["c", "d"]}}, "z": {"b": ["c", "d"]}}
    uses = {("a",): "", ("x", "y"): "line 3 uses it as '*a'", ("z",): "line 4 uses it as '*a'"}
    for path, use in uses.items():
        assert document.place_of_key((*path, "b")) == Place(2, 3, use)
        assert document.place((*path, "b", 1)) == Place(2, 13, use)
    assert document.place(("z",)) == Place(4, 4)
    assert document.place(("x", "y", "b")).problem("x", "oh").message == "oh; line 3 uses it as '*a'"


def test_below() -> None:
    """A part of a document is one with the places of the whole."""
    document = read_document(b"a: &a {b: [c, d]}\nx: {y: *a}\n", "x").below(("x", "y"))
    assert document.value == {"b": ["c", "d"]}
    use = "line 2 uses it as '*a'"
    assert document.places == {"b": (1, 11, use), "b[0]": (1, 12, use), "b[1]": (1, 15, use)}
    assert document.lines == {"b": 1}


def test_aliases_count_as_what_they_repeat() -> None:
    """Up to the limits, an alias may stand for much, or deep, or both; beyond, its place is told."""
    much = "a: &a [" + "x, " * 300 + "]\n"
    assert len(value_of(much + "b: [*a, *a]")["b"]) == 2  # type: ignore[index]
    assert [str(one) for one in problems_of(f"{much}b: [*a, *a, *a]".encode())] == [
        "x:2:13: the file has more than 1000 values (repeat less)"
    ]
    deep = f"a: &a {'[' * 10}{']' * 10}\n"
    assert value_of(f"{deep}b: {'[' * 10}*a{']' * 10}")
    assert [str(one) for one in problems_of(f"{deep}b: {'[' * 11}*a{']' * 11}".encode())] == [
        "x:1:16: more than 20 levels (nest less deeply)"
    ]


def test_byte_order_mark() -> None:
    """A byte order mark, which some editors write, is not part of the first key."""
    assert value_of("\ufeffimage: x") == {"image": "x"}


def test_all_problems_are_told() -> None:
    """Mistakes that leave the rest readable are told together with the one that does not."""
    lines = [str(problem) for problem in problems_of(b'a: 1\na: 2\ny: {<<: x}\nb: "\\0"\nc: *x\n')]
    assert [line.split(":")[1] for line in lines] == ["2", "3", "4", "5"]


def test_problems_are_bounded() -> None:
    """Hundreds of mistakes are twenty problems and a sentence about the others."""
    problems = problems_of(b"a: 1\n" * 401)
    assert len(problems) == PROBLEMS_MAX + 1
    assert problems[-1].message == "and 380 more problems"


def test_limits_are_not_too_low() -> None:
    """What is within all limits is read."""
    nested = "[" * 20 + "]" * 20
    assert value_of(nested) == eval(nested)  # noqa: S307 - our own text
    assert len(read_document(b"a: " + b"x" * (SIZE_BYTES_MAX - 3), "x").value["a"]) == SIZE_BYTES_MAX - 3
    assert len(read_document(b"[" + b"a," * 990 + b"]", "x").value) == 990


def read_or_problems(data: bytes) -> Document | tuple[Problem, ...]:
    try:
        return read_document(data, "x")
    except FileBroken as error:
        return error.problems


YAML_LIKE = st.text(alphabet="ab01.- :\n\t,[]{}#&*!|>'\"%@?~<\\ué\0", max_size=60).map(str.encode)


@given(st.one_of(st.binary(max_size=200), YAML_LIKE))
@example(b"? - a\n: b")
@example(b"a: |-1\n b")
@example(b'"\\x"')
@example(b"- \xef\xbb\xbf")
def test_any_bytes(data: bytes) -> None:
    """Any bytes are a document whose values all have a place in it, or problems that are fit to be shown."""
    outcome = read_or_problems(data)
    lines = data.count(b"\n") + 1
    if isinstance(outcome, Document):
        assert all(1 <= place.line <= lines for place in (*outcome.keys.values(), *outcome.values.values()))
        assert outcome.place(()) == outcome.values[()]
    else:
        assert outcome
        assert all(0 <= problem.line <= lines + 1 and str(problem).isprintable() for problem in outcome)
