"""`make run`: runs a command that needs a Docker Engine, and has one.

    python3 -m tests.run_with_engine COMMAND...

An engine that answers is used, and nothing else is touched. Where there is none, one is installed and started, and ends
with the command. The images of the examples are there when the command starts. Ctrl-C ends it in good order; so does a
terminal that is closed, and the end of whoever has started this.
"""

import json
import os
import re
import select
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tests.busybox_image import make_image
from tests.engine_api import answers, ask, has_image, pull_image
from tests.host_network import left_as_it_was
from tests.private_engine import NoEngineError, PrivateEngine, end_with_parent, install, say

EXAMPLES = Path(__file__).parent.parent / "sandboxes.d"
IMAGE_LINE = re.compile(r"^image:\s*[\"']?([^\s\"'#]+)", re.MULTILINE)

SYSTEM_HOST = "unix:///var/run/docker.sock"

PULL_SECONDS = 20
LOOK_SECONDS = 1
SIGNALLED = 128
INTERRUPTED = SIGNALLED + signal.SIGINT


def main(*command: str) -> int:
    """Returns the exit code of the command."""
    end_with_parent()
    on_signals(signal.default_int_handler)
    try:
        with engine() as host:
            for reference in sorted(images()):
                have_image(host, reference)
            say("in another terminal, in this directory, the README's commands work after these two lines:")
            say(f"export PATH={shlex.quote(str(Path(command[0]).absolute().parent))}:$PATH", label="")
            say(f"export RECONCILER_HOST={shlex.quote(host)}", label="")
            return run(command, host)
    except NoEngineError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def on_signals(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    """For Ctrl-C, a polite kill, and a terminal that is closed, unless `nohup` is there to survive that."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


@contextmanager
def engine() -> Iterator[str]:
    """The host of an engine that answers: one that was there, or else a private one for as long as this lasts."""
    name = "reconciler-engine"
    private = PrivateEngine(name, Path("/var/lib") / name, Path("/run") / name, isolated=False)
    if not (host := found(private.host)):
        install()
        host = found(private.host)  # the package may have started it
    if host:
        say(f"using the one that answers at {host}")
        try:
            yield host
        finally:
            say(what_runs_on(host))
        return
    say(f"none answers; starting a private one, with its data in {private.data}")
    with left_as_it_was(Path("/run") / f"{name}.network"):
        try:
            private.start("--ip6tables=false")  # its networks have no IPv6
            say(f"it answers at {private.host}")
            yield private.host
        finally:
            on_signals(signal.SIG_IGN)
            say("ending the private one, and with it the sandboxes")
            private.end()


def found(private_host: str) -> str | None:
    """The host of an engine that answers. One that somebody named must."""
    named = os.environ.get("RECONCILER_HOST") or os.environ.get("DOCKER_HOST")
    try:
        if named and not answers(named):
            raise NoEngineError(f"no engine answers at {named}, which the environment names")
        return next((host for host in [named or SYSTEM_HOST, private_host] if answers(host)), None)
    except PermissionError as error:
        raise NoEngineError(f"not allowed to use the engine; be root, or a member of its group: {error}") from error


def what_runs_on(host: str) -> str:
    """The sandboxes that do, and what ends them."""
    label = f"label=reconciler.instance={os.environ.get('RECONCILER_INSTANCE', 'default')}"
    try:
        rows = json.loads(ask(host, "GET", "/containers/json", {"filters": json.dumps({"label": [label[6:]]})}))
    except (OSError, RuntimeError) as error:
        return f"it does not say which sandboxes run on: {error}"
    names = sorted(row["Labels"].get("reconciler.sandbox", row["Id"]) for row in rows)
    if not names:
        return "no sandbox runs on"
    docker = f"docker --host {shlex.quote(host)}"
    return f"these run on: {', '.join(names)}; to end them: {docker} rm --force $({docker} ps --quiet --filter {label})"


def images() -> set[str]:
    """The images that the examples name."""
    return {reference for file in EXAMPLES.glob("*.yaml") for reference in IMAGE_LINE.findall(file.read_text())}


def have_image(host: str, reference: str) -> None:
    """Where an image cannot be pulled, one is made under its name. Without either the command runs all the same."""
    if has_image(host, reference):
        return
    say(f"pulling {reference}")
    try:
        pull_image(host, reference, PULL_SECONDS)
    except (OSError, RuntimeError) as failed:
        say(f"cannot pull {reference}: {str(failed).strip()}")
        try:
            make_image(host, reference)
        except RuntimeError as error:
            say(str(error))
        else:
            say(f"made {reference} from this machine's busybox instead; it is not the image of that name")


def run(command: tuple[str, ...], host: str) -> int:
    """Passes each signal on once: the command is in a group of its own, out of the terminal's reach, and ends with us.

    That nobody listens any more is told it as SIGTERM: a controller takes SIGHUP for a wish.
    """
    environment = {**os.environ, "RECONCILER_HOST": host}
    child = subprocess.Popen(command, env=environment, process_group=0, preexec_fn=end_with_parent)  # noqa: PLW1509
    on_signals(lambda number, _: child.send_signal(signal.SIGTERM if number == signal.SIGHUP else number))
    while (code := _exit_code(child)) is None:
        if nobody_listens():
            child.terminate()
    return code if code >= 0 else SIGNALLED - code


def _exit_code(child: subprocess.Popen[bytes]) -> int | None:
    """None after a while in which it has not ended."""
    try:
        return child.wait(LOOK_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def nobody_listens() -> bool:
    """Whether our terminal is closed: SIGHUP goes to its first process, which is `make` where no shell is before it."""
    terminal = select.poll()
    terminal.register(sys.stderr, 0)
    return bool(terminal.poll(0))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
