"""Nobody's text steers a terminal or spoils a status file: names, values, output and refusals come out escaped."""

import json
import os
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.busybox_image import make_image
from tests.conftest import IMAGE
from tests.hostile.hostile_engine import ABOUT, hostile_engine
from tests.private_engine import PrivateEngine
from tests.system.conftest import Operator

STEERING = "\x1b[31m\x1b]0;owned\x07\x9b2J\r\0\x7f"
INVISIBLE = "\u200b\u00ad\u2060\U000e0041"
BIDIRECTIONAL = "\u202e\u2066\u061c"
HOSTILE = f"{STEERING}{BIDIRECTIONAL}{INVISIBLE}\u2028\u2029\ufeff\ud800\nERROR forged\n"
ESCAPED = "\\x1b[31m"
LONG_LINE = r"head -c 200000 /dev/zero | tr '\0' x"
LINE_MAX = 20_000
LOG_LINE_MAX = 10 * 16 * 1024
"""A piece of a line, each of its characters escaped in the longest form."""

NO_ENGINE = PrivateEngine("none", Path("/nowhere"), Path("/nowhere"), isolated=False)
"""For an operator that is given the address of another one."""

CHANGING = """
image: {image}
command: [sh, -c, sleep 1000, "{hidden}{version}"]
environment: {{A: "{hidden}{version}"}}
labels: {{a: "{hidden}{version}"}}
"""

NETWORK = {
    "Name": "reconciler.test",
    "Id": "n",
    "Driver": "bridge",
    "Options": {"com.docker.network.bridge.enable_icc": "false"},
    "Labels": {"reconciler.instance": "test"},
}

COMMANDS = (
    ["plan"],
    ["plan", "-o", "json"],
    ["plan", "-o", "markdown"],
    ["explain", "web"],
    ["explain", "web", "--container"],
    ["explain", "web", "-o", "json"],
    ["apply"],
    ["status"],
    ["status", "web"],
    ["status", "-o", "json"],
    ["validate"],
    ["validate", "-o", "json"],
    ["validate", "-o", "github"],
    ["validate", "-o", "sarif"],
    ["doctor"],
    ["doctor", "-o", "json"],
    ["approve"],
    ["logs", "web"],
    ["logs", "\x1b[31m"],
)


def fit(text: str, line_max: int = LINE_MAX) -> str:
    """The text, if it is fit for a terminal."""
    unfit = {f"U+{ord(char):04X}" for char in text if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
    assert not unfit - {"U+000A"}, f"{sorted(unfit)} in {text[:2000]!a}"
    assert max(map(len, text.split("\n"))) <= line_max
    assert "\nERROR forged" not in f"\n{text}"
    return text


def tell(operator: Operator, *arguments: str, line_max: int = LINE_MAX) -> str:
    """All that a command says on both streams, as the bytes that a terminal would get."""
    done = subprocess.run(operator.command(*arguments), capture_output=True, timeout=120, check=False)
    if "json" in arguments and done.stdout:
        check_values(json.loads(done.stdout))
    return "".join(fit(stream.decode("utf-8"), line_max) for stream in (done.stdout, done.stderr))


def strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from strings(item)
        case dict():
            for key, item in value.items():
                yield from (key, *strings(item))


def check_values(value: Any) -> None:
    """What a program reads from JSON goes to a terminal sooner or later."""
    for text in strings(value):
        fit(text)


def check_state(operator: Operator) -> None:
    """All but the output of sandboxes, which is kept as it came."""
    files = [path for path in operator.state.rglob("*") if path.is_file() and path.suffix != ".log"]
    assert operator.state / "controller.json" in files
    for path in files:
        text = fit(path.read_bytes().decode("utf-8"))
        documents = {".json": [text], ".jsonl": text.splitlines()}
        for document in documents.get(path.suffix, []):
            check_values(json.loads(document))


def tell_all(operator: Operator) -> str:
    """What every command says; then all status files are looked through."""
    said = "".join(tell(operator, *command) for command in COMMANDS)
    check_state(operator)
    return said


NAMES = {
    b"\xff\xfe.yaml": "\\xff\\xfe.yaml",
    b"\xed\xa0\x80.yaml": "\\xed\\xa0\\x80.yaml",
    b"\x1b[31m\x1b]0;owned\x07\r.yaml": "\\x1b[31m\\x1b]0;owned\\x07\\r.yaml",
    "\u202e\u200b\U000e0041.yaml".encode(): "\\u202e\\u200b\\U000e0041.yaml",
    b"a\nERROR forged.yaml": "a\\nERROR forged.yaml",
    b"\x1b" * 250 + b".yaml": "\\x1b" * 250 + ".yaml",
}
PLACES = ("environment: {A: %s}", "environment: {%s: a}", "labels: {a: %s}", "labels: {%s: a}")
VALUES = {
    "escaped": '"\\e[31m"',
    "raw": '"\x1b[31m"',
    "long": f'"\x9b{"x" * 30_000}"',
    "bidirectional": f'"{BIDIRECTIONAL}"',
    "nul": '"\\0"',
    "surrogate": '"\\ud800"',
}


def test_names_of_files(operator: Operator) -> None:
    """A file can have any name, and is told under a harmless one, while its neighbours run."""
    operator.declare("web")
    files = [os.fsdecode(os.fsencode(operator.directory) + b"/" + name) for name in NAMES]
    for file in files:
        Path(file).write_text(f"image: {IMAGE}\n")
    for said in (tell_all(operator), tell(operator, "validate", *files)):
        assert [shown for shown in NAMES.values() if shown not in said] == []
    assert operator.phase("web") == "Running"


def test_names_of_directories(tmp_path: Path) -> None:
    """So can the directories, without which nothing can be told at all."""
    operator = Operator(tmp_path / os.fsdecode(b"\xff\x1b[31m\n"), NO_ENGINE, "test", host="unix:///nowhere.sock")
    operator.directory.mkdir(parents=True)
    operator.declare("web")
    for command in (["plan"], ["apply"], ["status"], ["status", "-o", "json"]):
        assert "no engine is there" in tell(operator, *command)
    check_state(operator)
    assert ESCAPED in operator.controller()["directory"]


def test_values_that_steer(operator: Operator) -> None:
    """A file that holds what could steer a terminal is refused, by the name of the character."""
    for kind, value in VALUES.items():
        for number, place in enumerate(PLACES):
            operator.write(f"{kind}-{number}.yaml", f"image: {IMAGE}\n{place % value}\n")
    tell_all(operator)
    refused = [problem["message"] for problem in json.loads(tell(operator, "validate", "-o", "json"))["problems"]]
    assert len(refused) == len(VALUES) * len(PLACES)
    assert all(message.startswith("the character U+") for message in refused)


def test_values_that_cannot_be_seen(operator: Operator) -> None:
    """What is allowed in values, and cannot be seen, comes out escaped when a change of it is told."""
    for version in "12":
        operator.write("web.yaml", CHANGING.format(image=IMAGE, hidden=INVISIBLE, version=version))
        said = tell_all(operator)
    assert "\\u200b" in said
    assert operator.phase("web") == "Running"


def test_a_reason_that_lies(operator: Operator) -> None:
    """What suspends a sandbox is free text, and forges no line of the log."""
    operator.write("web.yaml", f'suspend: "why{INVISIBLE}\\nERROR forged\\t"')
    tell_all(operator)
    assert operator.status("web")["reason"] == "Suspended"


def test_a_source_that_cannot_be_seen(operator: Operator) -> None:
    """The path of a volume that is refused comes out escaped."""
    operator.write("web.yaml", f'image: {IMAGE}\nvolumes: [{{source: "/srv/{INVISIBLE}", target: /a}}]')
    assert "\\u200b" in tell_all(operator)


def test_an_image_with_labels_that_steer(operator: Operator) -> None:
    """An image can bring labels under our prefix; they are found, and told escaped and cut."""
    names = (f"reconciler.\x1b[31m{INVISIBLE}", f"reconciler.{'x' * 30_000}")
    make_image(operator.engine.host, "sandbox:hostile", [f'LABEL "{name}"="\x1b[31m"' for name in names])
    operator.declare("web", image="sandbox:hostile")
    assert ESCAPED in tell_all(operator)
    assert operator.status("web")["reason"] == "VerificationFailed"


def test_output(operator: Operator) -> None:
    """What a sandbox prints is shown whole, and harmless, in lines of a bounded length."""
    words = r"printf '\033[31m\033]0;owned\007\000\377\376\355\240\200\342\200\256\r\n'"
    operator.declare("web", command=["sh", "-c", f"{words}; {LONG_LINE}"], restart="no")
    with operator.run():
        operator.until(lambda: operator.phase("web") == "Completed" and operator.status("web")["last_output"])
    said = tell(operator, "logs", "web", line_max=LOG_LINE_MAX)
    first, *pieces = (line.partition(" ")[2] for line in said.split("\n"))
    assert first.startswith("\\x1b[31m\\x1b]0;owned\\x07\\x00\ufffd\ufffd")
    assert first.endswith("\\u202e\\r")
    assert "".join(pieces) == "x" * 200_000
    check_state(operator)


def test_output_of_a_health_check(operator: Operator) -> None:
    """What a health check prints stands in the status, escaped and cut."""
    words = r"printf '\033[31m\033]0;owned\007\000\377\342\200\256\nERROR forged\n'"
    check = {"test": f"{words}; {LONG_LINE}; exit 1", "interval": "1s", "timeout": "10s", "retries": 1}
    operator.declare("web", healthcheck=check)
    operator.until(lambda: operator.reconciler("apply") and operator.status("web").get("reason") == "Unhealthy")
    assert ESCAPED in tell_all(operator)
    assert ESCAPED in operator.status("web")["message"]


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        pytest.param(json.dumps({"message": HOSTILE * 5000}).encode(), "No", id="message"),
        pytest.param(b"\xff" + HOSTILE.encode(errors="surrogatepass"), "\x1b[31m\x9b2J", id="no message"),
    ],
)
@pytest.mark.parametrize("lists", [False, True], ids=["everything", "changes"])
def test_refusals(refusal: bytes, reason: str, lists: bool, tmp_path: Path) -> None:
    """An engine that refuses everything, or every change, says so in escaped words of a bounded length."""
    operator = Operator(tmp_path, NO_ENGINE, "test")
    operator.directory.mkdir()
    operator.declare("web")
    image = {"/images/docker.io/library/sandbox:test/json": {"Id": "i"}}  # why a pull is refused is told in our words
    good = {"/containers/json": [], "/networks": [NETWORK], **image} if lists else {}
    with hostile_engine(refusal, reason, good) as operator.host:
        assert ESCAPED in tell_all(operator)
        with operator.run():
            operator.until(lambda: ESCAPED in operator.log)
    fit(Path(operator.root / "run.log").read_bytes().decode())
    check_state(operator)


def test_what_an_engine_says_of_itself_and_of_strangers(tmp_path: Path) -> None:
    """Its version and its warnings, and the names and labels of its containers, come out escaped everywhere."""
    operator = Operator(tmp_path, NO_ENGINE, "test")
    operator.directory.mkdir()
    operator.declare("web")
    labels = {"reconciler.instance": "test", HOSTILE: HOSTILE}
    stranger = {
        "Id": "a" * 64,
        "Names": [f"/{HOSTILE}"],
        "Labels": labels,
        "State": "running",
        "Status": "",
        "Created": 0,
    }
    about = {"Driver": HOSTILE, "Warnings": [HOSTILE], "CgroupVersion": HOSTILE}
    good = {
        "/info": {**ABOUT["/info"], **about, "SystemTime": "2026-01-31T12:00:00Z"},
        "/version": {"ApiVersion": "1.41", "Version": HOSTILE},
        "/containers/json": [stranger],
        "/networks": [NETWORK],
    }
    with hostile_engine(b"no", "No", good) as operator.host:
        said = tell_all(operator)
    assert said.count(ESCAPED) > 5
