"""Messages lead with the cause, fit a line of a terminal, and have ids and names at their end."""

import logging
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from reconciler.engine.docker.causes import cause, refused
from reconciler.model.plan import Reason
from reconciler.model.status import ControllerStatus, SandboxStatus
from reconciler.model.world import State
from reconciler.planning.exits import exit_message, with_last_output
from reconciler.spec.text import LINE_MAX, TEXT_MAX
from tests.scene import Scene
from tests.simulation.simulation import Simulation
from tests.simulation.story import tell
from tests.unit.test_decide import CASES

ID = "4f" * 32
RUNC = "failed to create shim task: OCI runtime create failed: runc create failed: "
SHIM = f"failed to create task for container: {RUNC}unable to start container process: "
ENDPOINT = f"driver failed programming external connectivity on endpoint reconciler.default.web.1a2b3c4d ({ID}): "

SAID = [
    (f"{ENDPOINT}Bind for 127.0.0.1:18081 failed: port is already allocated", "127.0.0.1:18081 is in use"),
    (
        f"{ENDPOINT}Error starting userland proxy: listen tcp4 127.0.0.1:18081: bind: address already in use",
        "127.0.0.1:18081 is in use",
    ),
    (
        f"{ENDPOINT}failed to bind host port 127.0.0.1:80/tcp: address already in use",
        "127.0.0.1:80 is in use",
    ),
    (
        "failed to bind host port for 127.0.0.1:18081:172.17.0.2:3000/tcp: address already in use",
        "127.0.0.1:18081 is in use",
    ),
    (
        f'{SHIM}exec: "serve": executable file not found in $PATH: unknown',
        "the image has no program serve",
    ),
    (
        f'{SHIM}exec: "/bin/serve": stat /bin/serve: no such file or directory: unknown',
        "the image has no program /bin/serve",
    ),
    (
        f'{SHIM}exec: "/etc": permission denied: unknown',
        "permission denied: it cannot run /etc",
    ),
    (
        f"{SHIM}exec /bin/sh: exec format error",
        "the image is for another kind of processor",
    ),
    (
        f'Conflict. The container name "/reconciler.default.web.1a2b3c4d" is already in use by container "{ID}". '
        "You have to remove (or rename) that container to be able to reuse that name.",
        "another container is called reconciler.default.web.1a2b3c4d: 4f4f4f4f4f4f",
    ),
    ("No such image: docker.io/library/app:1", "the image is not there: docker.io/library/app:1"),
    (f"No such container: {ID}", "the container is gone: 4f4f4f4f4f4f"),
    (f'no container with name or ID "{ID}" found: no such container', "the container is gone: 4f4f4f4f4f4f"),
    ("network reconciler.default not found", "the network is gone: reconciler.default"),
    (
        "network reconciler.default is ambiguous (2 matches found on name)",
        "two networks have one name: reconciler.default",
    ),
    (
        'invalid mount config for type "bind": bind source path does not exist: /srv/data',
        "no such file or directory: /srv/data",
    ),
    (
        f'{SHIM}error during container init: error mounting "/srv/data" to rootfs at '
        '"/data": mount /srv/data:/data (via /proc/self/fd/7), flags: 0x5000: not a directory: unknown',
        "not a directory: cannot mount /srv/data at /data",
    ),
    (
        f'{SHIM}error during container init: chdir to cwd ("/root") set in '
        "config.json failed: permission denied: unknown",
        "permission denied: cannot enter working_dir /root",
    ),
    ("unknown or invalid runtime name: runsc", "the engine has no runtime runsc"),
    (
        "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
        "no addresses are left for a network; see the engine's default-address-pools",
    ),
    (
        f"error while removing network: network reconciler.default id {ID} has active endpoints",
        "containers are still in the network",
    ),
    ("open /var/lib/docker/containers/x/hostname: no space left on device", "no space is left on the engine's disk"),
    (
        f"{SHIM}fork/exec /proc/self/exe: cannot allocate memory",
        "no memory is left on the engine's host",
    ),
    (f"removal of container {ID} is already in progress", "the engine is removing it already"),
    (
        f"You cannot remove a running container {ID}. Stop the container before attempting removal or force remove",
        "it still runs",
    ),
    (
        f"cannot stop container: {ID}: tried to kill container, but did not receive an exit event",
        "it does not end, even when it is killed",
    ),
    (
        f"{RUNC}unable to apply cgroup configuration: mkdir /sys/fs/cgroup/memory/x: read-only file system: unknown",
        "mkdir /sys/fs/cgroup/memory/x: read-only file system",
    ),
    ("a" * 3000, "a" * (LINE_MAX - 1) + "…"),
]


@pytest.mark.parametrize(("engine_said", "told"), SAID)
def test_what_an_engine_refuses_is_told_in_our_words(engine_said: str, told: str) -> None:
    """The cause, and nothing of how the engine came to it; its own words are kept beside, within bounds."""
    error = refused(500, engine_said)
    assert str(error) == told
    assert error.engine_said == engine_said or len(error.engine_said) == TEXT_MAX
    assert lacks(told) == []


def test_what_an_engine_quotes_is_escaped() -> None:
    """A command can stand in the engine's words, and steers nobody's terminal."""
    assert cause('exec: "\x1b[2J": executable file not found in $PATH') == "the image has no program \\x1b[2J"
    assert "\x1b" not in refused(500, "\x1b[2J").engine_said


NODE = (
    "node:internal/modules/cjs/loader:936",
    "  throw err;",
    "  ^",
    "",
    "Error: Cannot find module 'x'",
    "Require stack:",
    "- /app/index.js",
    "    at Function.executeUserEntryPoint [as runMain] (node:internal/modules/run_main:81:12) {",
    "  code: 'MODULE_NOT_FOUND'",
    "}",
    "",
    "Node.js v18.12.1",
)
NGINX = ('nginx: [emerg] mkdir() "/var/cache/nginx/client_temp" failed (13: Permission denied)',)
EXPECTS_ROOT = "permission denied: the image may expect root; use one for 1000:1000, or a tmpfs"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "exited with code 1"),
        (("", "  "), "exited with code 1"),
        (("hello", "giving up"), "exited with code 1: giving up"),
        (NODE, "exited with code 1: Error: Cannot find module 'x'"),
        (("Traceback (most recent call last):", "ValueError: no"), "exited with code 1: ValueError: no"),
        (("panic: nil map", "", "goroutine 1 [running]:"), "exited with code 1: panic: nil map"),
        (NGINX, EXPECTS_ROOT),
        (("chown: /data: Operation not permitted",), EXPECTS_ROOT),
        (("Error: EACCES: permission denied, open '/app/x'", *NODE[4:]), EXPECTS_ROOT),
        (("it was: permission denied", *["and went on"] * 20), "exited with code 1: and went on"),
        (("x" * 200,), f"exited with code 1: {'x' * 45}…"),
    ],
)
def test_an_exit_is_told_with_what_was_said_last(words: tuple[str, ...], told: str) -> None:
    """The last error, or else the last line; and what mends an image that cannot work without root."""
    status = SandboxStatus(
        name="web",
        reason=Reason.EXIT_CODE,
        message="exited with code 1",
        exit_code=1,
        last_output=words,
        configuration={"user": "1000:1000"},
    )
    assert with_last_output(status) == told
    assert len(told) <= LINE_MAX


def test_an_exit_is_told_of_what_is_started_again_too() -> None:
    """Unless there is nothing to say."""
    status = SandboxStatus(name="web", reason=Reason.EXITED, message="exited", exit_code=1, last_output=("no",))
    assert with_last_output(status) == "exited: no"
    assert with_last_output(status.model_copy(update={"message": ""})) == ""


def test_an_end_for_want_of_memory_is_told_with_the_limit() -> None:
    """Where it is known."""
    killed = Scene().container("web", State.EXITED, oom_killed=True).inspection
    status = SandboxStatus(name="web")
    assert exit_message(killed, status) == "killed: over mem_limit 512m"
    assert exit_message(replace(killed, spec=None), status) == "killed: no memory"


def test_of_an_end_that_nobody_asked_for_memory_may_be_the_cause() -> None:
    """Where the engine does not know who has killed it, as on cgroups of version 2 every other time."""
    scene = Scene()
    killed, ended = (scene.container("web", State.EXITED, exit_code=code).inspection for code in (137, 136))
    status = SandboxStatus(name="web")
    assert exit_message(killed, status) == "killed (137), perhaps for memory"
    assert exit_message(ended, status) == "exited with code 136"
    starved = SandboxStatus(name="web", oom_kills=1)
    assert exit_message(killed, starved) == "killed: over mem_limit 512m"
    assert exit_message(ended, starved) == "exited with code 136"


def test_what_was_said_before_is_not_told_of_what_is_no_exit() -> None:
    """A sandbox that runs again, or waits for something else, is not explained by its last end."""
    status = SandboxStatus(name="web", message="its file is gone", exit_code=1, last_output=("no",))
    for reason in (Reason.RUNNING, Reason.FILE_REMOVED, Reason.OOM_KILLED):
        assert with_last_output(status.model_copy(update={"reason": reason})) == "its file is gone"


LISTS = frozenset({Reason.CONFIGURATION_CHANGED, Reason.PORTS_CHANGED, Reason.DRIFTED, Reason.VERIFICATION_FAILED})
OF_FILES = frozenset({Reason.INVALID_FILE, Reason.POLICY_VIOLATION, Reason.SUSPENDED})
"""These have as many parts as there are changes; or a place in a file, then what is wrong, then help."""

IDS = re.compile(r"\b[0-9a-f]{12,64}\b|\breconciler\.[\w.-]+")
NAMES = re.compile(r"used by .*|\breconciler\.[\w.-]+|\bstranger-\d+")


def test_messages_of_all_situations() -> None:
    """Of every table case, and of what the simulation comes to in many stories."""
    logging.disable(logging.CRITICAL)
    try:
        told = {*of_cases(), *of_stories(range(40))}
    finally:
        logging.disable(logging.NOTSET)
    assert len({re.sub(r"[0-9a-f]{8,}|\d+|\b[a-g]\b", "", message) for message in told}) > 30
    assert {message: wrong for message in told if (wrong := lacks(message))} == {}


def of_cases() -> Iterator[str]:
    for build, _ in CASES.values():
        scene = Scene()
        build(scene)
        yield from (planned.message for planned in scene.plan().sandboxes if planned.cause not in LISTS | OF_FILES)


def of_stories(seeds: range) -> Iterator[str]:
    for seed in seeds:
        simulation = Simulation()
        for step in tell(seed):
            getattr(simulation, step.what)(*step.how)
            yield from of_controller(simulation.controller.status)
            for status in simulation.controller.statuses.values():
                yield from of_sandbox(status)


def of_controller(status: ControllerStatus) -> Iterator[str]:
    yield from (status.unavailable_reason, status.frozen_reason, status.pass_error, *status.unmanaged)


def of_sandbox(status: SandboxStatus) -> Iterator[str]:
    about = [(status.reason, status.message), *((one.reason, one.message) for one in status.conditions)]
    about += [(status.failure.reason, status.failure.message)] if status.failure else []
    yield from (message for reason, message in about if reason not in LISTS | OF_FILES)


def lacks(message: str) -> list[str]:
    """What the message lacks of the shape that all have."""
    first_id = IDS.search(message)
    after = IDS.sub("", message[first_id.start() :]) if first_id else ""
    checks = {
        "80 columns": all(len(NAMES.sub("", IDS.sub("", part))) <= LINE_MAX for part in message.split("; ")),
        "the cause first": not re.match(r"cannot\b|error\b|(the )?container [0-9a-f]", message, re.IGNORECASE),
        "ids last": not re.search(r"\w{2}", after),
        "one line": message.isprintable(),
    }
    return [what for what, holds in checks.items() if not holds]
