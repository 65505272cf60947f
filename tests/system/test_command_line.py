"""The command's manners: completion, help, and what it writes to stderr."""

import os
import re
import subprocess

import click
import pytest

from reconciler.cli.main import COMMANDS, OfAllCommands, cli
from tests.system.conftest import COMMAND, Operator

COMPLETED = """
eval "$(_RECONCILER_COMPLETE=bash_source reconciler)"
COMP_WORDS=("$@")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
complete_with=$(complete -p reconciler)
complete_with=${complete_with##*-F }
${complete_with% *} reconciler
printf '%s\\n' "${COMPREPLY[@]}"
"""
"""What bash does when Tab is pressed at the end of the words."""

TAKE_A_NAME = ("logs", "status", "events", "explain", "restart", "down")

FAULT = """
from reconciler.report.store import Store

def fail(*_):
    raise KeyError("\\x1b[31m\\nreconciler: forged")

Store.statuses = fail
"""
"""What Python runs first, in a process that will meet a fault of the program."""


def completed(operator: Operator, *words: str) -> list[str]:
    """What bash offers for the last of the words."""
    environment = {
        **os.environ,
        "PATH": f"{COMMAND.parent}:{os.environ['PATH']}",
        "RECONCILER_STATE": str(operator.state),
    }
    done = subprocess.run(
        ["bash", "-c", COMPLETED, "bash", "reconciler", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_and_names(operator: Operator) -> None:
    """The commands; the sandboxes that there are, in the state directory that is asked for; and options."""
    operator.declare("web")
    operator.declare("worker")
    operator.declare("db")
    operator.reconciler("apply", code=0)
    (operator.state / "status" / "$(reboot).json").touch()
    assert {"apply", "approve"} <= set(completed(operator, "ap"))
    assert "run" not in completed(operator, "ap")
    for command in TAKE_A_NAME:
        assert completed(operator, command, "") == ["db", "web", "worker"]
    assert completed(operator, "logs", "w") == ["web", "worker"]
    assert completed(operator, "logs", "x") == []
    assert completed(operator, "--state", str(operator.root), "logs", "") == []
    assert completed(operator, "logs", "--state", str(operator.root), "") == []
    assert completed(operator, "--log-format", "j") == ["json"]
    assert completed(operator, "plan", "--log-format", "j") == ["json"]
    assert {"--against", "--dir"} <= set(completed(operator, "plan", "--"))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(operator: Operator, command: str) -> None:
    """It begins with the usage, and shows how the command is called."""
    told = operator.reconciler(command, "--help", code=0).stdout
    assert told.startswith(f"Usage: reconciler {command}")
    assert re.search(rf"\n  Examples:\n(    .*\n)*    (reconciler|systemctl) .*{command}", told), told


def test_an_option_of_all_commands_stands_before_the_command_or_after_it(operator: Operator) -> None:
    """It means the same there; given in both places, the one after the command counts."""
    operator.declare("web")
    operator.write("broken.yaml", "imag: app:1")
    nowhere = str(operator.root / "nowhere")

    def validated(*arguments: str) -> tuple[int, str]:
        done = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stderr

    before = validated("--dir", str(operator.directory), "validate")
    assert "imag" in before[1]
    assert validated("validate", "--dir", str(operator.directory)) == before
    assert validated("--dir", nowhere, "validate", f"--dir={operator.directory}") == before
    assert nowhere in validated("--dir", str(operator.directory), "validate", "--dir", nowhere)[1]
    assert "CRITICAL" not in operator.reconciler("validate", "--log-level", "critical", code=1).stderr
    assert "instance '0'" in operator.reconciler("validate", "--instance", "0", code=1).stderr


def test_no_command_has_an_option_of_its_own_with_the_name_of_one_of_all() -> None:
    """Or one of the two could not be given."""
    context = click.Context(cli)
    of_all = {name for option in cli.params for name in option.opts} | {"-h", "--help"}
    for command in filter(None, (cli.get_command(context, name) for name in COMMANDS)):
        own = [name for option in command.params if not isinstance(option, OfAllCommands) for name in option.opts]
        assert of_all.isdisjoint(own)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (("stauts",), "no command 'stauts'; did you mean 'status'?"),
        (("xyzzy",), "no command 'xyzzy'; see `reconciler --help`"),
        (("logs", "--folow"), "No such option '--folow'. Did you mean '--follow'?"),
        (("plan", "--dri", "x"), "No such option '--dri'. Did you mean '--dir'?"),
    ],
)
def test_what_is_mistyped_gets_the_nearest_name(operator: Operator, typed: tuple[str, ...], told: str) -> None:
    """In one line."""
    assert operator.reconciler(*typed, code=1).stderr == f"reconciler: {told}\n"


@pytest.mark.parametrize("command", [(), *((command,) for command in COMMANDS)])
def test_h_is_help(operator: Operator, command: tuple[str, ...]) -> None:
    """Of the whole, and of each command, which names the options of all once."""
    told = operator.reconciler(*command, "-h", code=0).stdout
    assert told == operator.reconciler(*command, "--help", code=0).stdout
    assert ("\n  --state DIR" in told) is not bool(command)
    assert told.count("Options of all commands: `reconciler --help`") == len(command)


def test_help_fits_a_terminal(operator: Operator) -> None:
    """And tells of every option in a group of its own."""
    told = operator.reconciler("--help", code=0).stdout
    assert max(map(len, told.splitlines())) <= 80
    assert [line for line in told.splitlines() if re.match(r"\w+.*:$", line)] == [
        *("Commands:", "Files:", "Engine:", "Log:", "Other options:")
    ]


@pytest.mark.parametrize(
    ("format_", "journal", "line"),
    [
        ("plain", False, r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (INFO   |WARNING|ERROR  ) .+"),
        ("plain", True, r"<[346]>.+"),
        ("json", True, r"\{.+\}"),
    ],
)
def test_every_line_of_the_log_has_its_format(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, format_: str, journal: bool, line: str
) -> None:
    """The one that is asked for, or that the journal wants when it reads; whatever files are called and say."""
    monkeypatch.setenv("RECONCILER_LOG_FORMAT", format_)
    log = operator.root / "run.log"
    log.touch()
    if journal:
        monkeypatch.setenv("JOURNAL_STREAM", f"{log.stat().st_dev}:{log.stat().st_ino}")
    operator.decree(sandboxes_max=2)
    operator.declare("web")
    operator.declare("broken", state="\n<0>forged")
    with operator.run():
        operator.until_phase(web="Running")
        operator.decree(**{"two\nlines": 1, "three\nlines": 2})
        operator.until(lambda: "policy stays in force" in operator.log)
    assert "broken: hold" in operator.log
    assert [row for row in operator.log.splitlines() if not re.fullmatch(line, row)] == []


def test_a_stream_that_is_not_the_journal(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the environment of a service is also in that of a shell which it starts."""
    operator.declare("web")
    monkeypatch.setenv("JOURNAL_STREAM", "1:1")
    assert "<6>" not in operator.reconciler("apply", code=0).stderr


def test_levels(operator: Operator) -> None:
    """What is less than asked for is not logged."""
    operator.declare("web")
    assert operator.reconciler("--log-level", "warning", "apply", code=0).stderr == ""
    assert "INFO" in operator.reconciler("--log-level", "debug", "apply", code=0).stderr


def test_a_fault_of_its_own(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what to do, the others are for the report; nobody's text in them steers a terminal."""
    (operator.root / "sitecustomize.py").write_text(FAULT)
    monkeypatch.setenv("PYTHONPATH", str(operator.root), prepend=os.pathsep)
    first, *others = operator.reconciler("plan", code=1).stderr.splitlines()
    assert "please report it" in first
    assert any("KeyError" in line and r"\x1b[31m" in line for line in others)
    assert "reconciler: forged" not in others


def test_version(operator: Operator) -> None:
    """One line."""
    assert re.fullmatch(r"reconciler, version \d+\.\d+\.\d+\n", operator.reconciler("--version", code=0).stdout)
