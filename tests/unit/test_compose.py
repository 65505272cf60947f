"""What becomes of each way to write a key of a Compose service, and that nothing else does."""

from pathlib import Path
from typing import NamedTuple

import pytest

from reconciler.model.desired import Declaration
from reconciler.sources.directory import read_file
from reconciler.spec.sandbox import Sandbox


class Row(NamedTuple):
    """A line of a service, the same in a sandbox's words, and the note or the problem that it is told with."""

    written: str
    meaning: str | None
    told: str = ""


REFUSED = None

ROWS = [
    Row("privileged: false", ""),
    Row("privileged: true", REFUSED, "'privileged' is forbidden: it would be root on the host (leave it out)"),
    Row("init: true", ""),
    Row("init: false", REFUSED, "'init' is not supported (it is always on)"),
    Row("tty: false", ""),
    Row("tty: true", REFUSED, "'tty' is not supported (a sandbox has no terminal)"),
    Row("stdin_open: false", ""),
    Row("cap_drop: [ALL]", ""),
    Row("cap_drop: [NET_RAW, MKNOD]", ""),
    Row("security_opt: [no-new-privileges:true]", ""),
    Row("security_opt: [no-new-privileges]", ""),
    Row(
        "security_opt: ['no-new-privileges:true', 'seccomp:unconfined']",
        REFUSED,
        "'security_opt[1]' is forbidden: it can turn the isolation off (leave it out)",
    ),
    Row("x-anything: {at: all}", ""),
    Row(
        "restart: unless-stopped",
        "restart: always",
        "restart: 'unless-stopped' is `always` here "
        "(what is stopped by hand starts again; `state: stopped` stops it for good)",
    ),
]


def read(tmp_path: Path, text: str) -> tuple[Sandbox | None, list[str]]:
    """The sandbox of a file with this text, and the notes; or None and the problems."""
    file = tmp_path / "pasted.yaml"
    file.write_text(f"image: busybox\n{text}\n")
    outcome = read_file(file)
    if isinstance(outcome, Declaration):
        return outcome.sandbox, [f"{one.message} ({one.hint})" for one in outcome.notes]
    return None, [f"{one.message} ({one.hint})" for one in outcome]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.written)
def test_row(row: Row, tmp_path: Path) -> None:
    """What is written means the same as what stands beside it, or is refused, and is told in these words."""
    sandbox, told = read(tmp_path, row.written)
    meaning = None if row.meaning is REFUSED else read(tmp_path, row.meaning)[0]
    assert (sandbox, told) == (meaning, [row.told] if row.told else [])
