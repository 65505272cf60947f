"""`reconciler events` shows the journal to people: all of it, of those that are asked for, and what happens next."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system.conftest import Operator


@contextmanager
def following(operator: Operator, *arguments: str) -> Iterator[Path]:
    """What is told while it goes on."""
    told = operator.root / "told"
    with told.open("w") as file:
        process = subprocess.Popen(operator.command("events", "-f", *arguments), stdout=file, text=True)
    operator.running.append(process)
    try:
        yield told
    finally:
        process.kill()
        process.wait()


def test_what_was_done_and_refused_is_told(operator: Operator) -> None:
    """One line each, in the words of the log; with names, of these alone; for programs as the journal has it."""
    assert "no event is known" in operator.reconciler("events", code=1).stderr
    operator.declare("web")
    operator.declare("api")
    operator.declare("broken", state="\x1b[31m")
    operator.reconciler("apply", code=1)
    told = operator.reconciler("events", code=0).stdout.splitlines()
    assert len(told) == len(operator.journal())
    assert any(
        line.endswith("all: create network reconciler." + operator.instance + " (NetworkMissing)") for line in told
    )
    assert sum(" web: create reconciler." in line for line in told) == 1
    assert any(" broken: hold, InvalidFile: broken.yaml:" in line for line in told)
    own = operator.reconciler("events", "web", "broken", code=0).stdout.splitlines()
    assert own == [line for line in told if " web: " in line or " broken: " in line]
    assert operator.reconciler("events", "--tail", "1", code=0).stdout.splitlines() == told[-1:]
    lines = operator.reconciler("events", "-o", "json", code=0).stdout.splitlines()
    assert [json.loads(line) for line in lines] == operator.journal()
    assert "no event of nobody is known" in operator.reconciler("events", "nobody", code=1).stderr


def test_what_happens_is_followed(operator: Operator) -> None:
    """As soon as it is in the journal, without what concerns others."""
    operator.declare("web")
    with operator.run():
        operator.until_phase(web="Running")
        with following(operator, "web", "--tail", "1") as told:
            operator.until(told.read_text)
            operator.declare("api")
            operator.declare("web", mem_limit="32m")
            operator.until(lambda: " remove " in told.read_text())
    assert all(" web: " in line for line in told.read_text().splitlines())
    assert "(ConfigurationChanged)" in told.read_text()
