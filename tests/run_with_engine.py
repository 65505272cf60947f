"""`make run`: runs a command that needs a Docker Engine, and has one.

    python3 -m tests.run_with_engine SENTENCE COMMAND...

The sentence, for people, is said before and after. An engine that answers is used, and nothing else is touched. Where
there is none, one is installed and started, and ends with the command. The images of the examples are there when the
command starts.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tests.busybox_image import make_image
from tests.engine_api import answers, has_image, pull_image
from tests.private_engine import NoEngineError, PrivateEngine, install, say

EXAMPLES = Path(__file__).parent.parent / "sandboxes.d"
IMAGE_LINE = re.compile(r"^image:\s*[\"']?([^\s\"'#]+)", re.MULTILINE)

SYSTEM_HOST = "unix:///var/run/docker.sock"

PULL_SECONDS = 20
SIGNALLED = 128
INTERRUPTED = SIGNALLED + signal.SIGINT


def main(sentence: str, *command: str) -> int:
    """Returns the exit code of the command."""
    on_signals(signal.default_int_handler)
    try:
        with engine() as host:
            for reference in sorted(images()):
                have_image(host, reference)
            say(sentence)
            return run(command, host)
    except NoEngineError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        say(sentence)


def on_signals(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


@contextmanager
def engine() -> Iterator[str]:
    """The host of an engine that answers: one that was there, or else a private one for as long as this lasts."""
    name = "reconciler-engine"
    private = PrivateEngine(name, Path("/var/lib") / name, Path("/run") / name, isolated=False)
    if host := found(private.host):
        say(f"using the one that answers at {host}")
        yield host
        return
    install()
    if host := found(private.host):  # the package may have started it
        say(f"using the one that was installed, at {host}")
        yield host
        return
    say(f"none answers; starting a private one, with its data in {private.data}")
    try:
        private.start()
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
    """Passes each signal on once: the command is in a group of its own, out of the terminal's reach."""
    child = subprocess.Popen(command, env={**os.environ, "RECONCILER_HOST": host}, process_group=0)
    on_signals(lambda number, _: child.send_signal(number))
    code = child.wait()
    return code if code >= 0 else SIGNALLED - code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
