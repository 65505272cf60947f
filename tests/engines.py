"""The engines that the suites are run on.

    python -m tests.engines SUITE [ENGINE...]

runs a suite on each engine, on all of them where none is named, and prints what came of it.
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from tests import user_mode_kernel
from tests.debian_root import debian_root
from tests.private_engine import PATH, NoEngineError, Program, install, say

OWN = "docker"
"""The Docker of this machine."""


@dataclass(frozen=True)
class Kind:
    """A program, and the suite of Debian whose package it is; None for this machine's own."""

    program: str
    debian: str | None
    flags: tuple[str, ...] = ()
    cgroup2: bool = False
    """On a kernel of its own, whose only cgroups are of version 2. Without address translation, and slow as it is, all
    that is run there is the contract."""
    lacks: Mapping[str, str] = field(default_factory=dict)
    """What cannot be had of it: how the names of the tests for it begin, and why. These must fail, all others pass."""


TIMERS = "its health checks are timers of systemd, which is not on these machines"
IMPORT = "its import of an image knows no HEALTHCHECK"

NO_NAT = ("--iptables=false", "--ip6tables=false")
"""A kernel in user mode has no address translation."""

REMAPPED = "such a container is refused while users are remapped"

OF_PODMAN = {
    "test_a_knob_reads_back[real-runtime": "Debian's Podman runs crun",
    "test_what_was_loosened_reads_back_as_loose[real-SecurityOpt-value4": "an option that is off is not told",
    "test_what_was_loosened_reads_back_as_loose[real-Privileged": "it tells capabilities, not what was dropped of them",
    "test_what_was_loosened_reads_back_as_loose[real-IpcMode": "such a container is refused",
    "test_what_was_loosened_reads_back_as_loose[real-PidMode": "such a container is refused",
    "test_what_was_loosened_reads_back_as_loose[real-UTSMode": "with the host's namespace it tells its name, too",
    "test_what_was_loosened_reads_back_as_loose[real-MaskedPaths": "the kernel alone tells them, while it runs",
    "test_what_was_loosened_reads_back_as_loose[real-ReadonlyPaths": "the kernel alone tells them, while it runs",
    "test_what_was_loosened_reads_back_as_loose[real-Sysctls": "it does not tell them",
    "test_a_program_that_is_missing[real": "its init exits with 1",
    "test_a_start_that_fails[real": "no exit code is kept",
    "test_a_network_that_is_missing[real": "each container has a network to itself",
    "test_volumes_are_measured[real": "its volumes are the container's user's, and the test's root cannot fill them",
    "test_health[real": TIMERS,
    "test_events_of_health[real": TIMERS,
    "test_health_decides_readiness": TIMERS,
    "test_what_is_unhealthy_is_restarted": TIMERS,
    "test_a_plan_tells_what_is_taken_away_with_an_engine_and_without": TIMERS,
    "test_an_image_is_judged_once_it_is_pulled": IMPORT,
    "test_an_image_cannot_keep_the_engine_busy": IMPORT,
    "test_a_check_over_that_of_an_image": IMPORT,
    "test_every_key_converges_and_stays_converged": "Debian's Podman runs crun",
    "test_why_an_end_came_is_told_first": "its init exits with 1 where a program is missing",
    "test_what_a_registry_answers_is_not_told[JSON]": "what it says of such an answer is told as unknown",
    "test_what_a_registry_answers_is_not_told[no such page]": "its log has no answers of registries",
    "test_a_kernel_that_lets_neighbours_talk_starts_nobody": "no two of its sandboxes share a bridge",
    "test_neighbours_that_no_rule_keeps_apart": "no two of its sandboxes share a bridge",
    "test_the_firewall_closes_as_advised": "its rules are nftables', whose command is not on these machines",
    "test_the_user_of_the_unit_can_do_all_that_is_needed": "its socket is for root alone",
    "test_every_sandbox_port_and_failure_is_kept": "the version before starts nothing there",
    "test_what_was_approved_before_is_removed": "the version before starts nothing there",
    "test_what_is_for_a_shell_can_be_carried_out[security.md]": "there is no chain DOCKER-USER",
    "test_the_page_names_every_call_of_the_api_and_no_other": "the page is of Docker's API, and Podman's own is used",
    "test_a_stream_whose_first_event_is_repeated": "the first event that it tells has happened before",
}

KINDS = {
    OWN: Kind("dockerd", None),
    "docker-26": Kind("dockerd", "trixie"),
    "docker-28": Kind("dockerd", "testing"),
    "docker-28-containerd": Kind(
        "dockerd",
        "testing",
        ("--feature=containerd-snapshotter=true",),
        lacks={
            "test_what_a_registry_answers_is_not_told[no such page]": "a page that is not found looks like a registry's"
        },
    ),
    "docker-28-userns": Kind(
        "dockerd",
        "testing",
        ("--userns-remap=default",),
        lacks={
            "test_what_was_loosened_reads_back_as_loose[real-Privileged": REMAPPED,
            "test_what_was_loosened_reads_back_as_loose[real-PidMode": REMAPPED,
        },
    ),
    "docker-28-cgroup2": Kind("dockerd", "testing", NO_NAT, cgroup2=True),
    "podman-5": Kind("podman", "testing", lacks=OF_PODMAN),
    "podman-5-cgroup2": Kind(
        "podman",
        "testing",
        cgroup2=True,
        lacks={
            **OF_PODMAN,
            "test_what_was_loosened_reads_back_as_loose[real-OomKillDisable": "it repeats what version 2 has not",
        },
    ),
}

SUITES = {
    "contract": ("tests/engine/test_contract.py",),
    "all": ("tests/engine/test_contract.py", "tests/system"),
}

WORKERS = 4


@dataclass(frozen=True)
class Result:
    """What came of a suite on one engine."""

    engine: str
    version: str
    passed: int
    failed: int
    lacking: int
    seconds: float

    def __str__(self) -> str:
        counts = f"{self.passed:8}{self.failed:8}{self.lacking:9}{self.seconds:9.0f}"
        return f"{self.engine:22}{self.version:10}{counts}"


def program(engine: str) -> Program:
    """What is to be started for an engine of the table. Raises `NoEngineError` where it cannot be had."""
    kind = KINDS[engine]
    return Program(kind.program, kind.flags, debian_root(kind.debian) if kind.debian else None)


def main(suite: str, *engines: str) -> int:
    """Returns 0 when nothing has failed."""
    unknown = set(engines) - KINDS.keys()
    if unknown or suite not in SUITES:
        say(f"unknown: {', '.join(unknown) or suite}; engines are {', '.join(KINDS)}, suites {', '.join(SUITES)}")
        return 2
    try:
        install()
        programs = {engine: program(engine) for engine in engines or KINDS}
        results = [_run(suite, engine, found) for engine, found in programs.items()]
    except NoEngineError as error:
        say(str(error))
        return 1
    print(_table(results))
    return int(any(result.failed or not result.passed for result in results))


def _run(suite: str, engine: str, program: Program) -> Result:
    """The tests for the fake engine are left out, as they are the same for all."""
    say(f"the suite {suite} on {engine}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rec-suite-", dir="/tmp") as directory:
        told = Path(directory) / "results.xml"
        options = ["--engine", engine, "-m", "not slow", "-k", "not fake", "--junit-xml", str(told), "-n", str(WORKERS)]
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
        if KINDS[engine].cgroup2:
            code = user_mode_kernel.run([*command, *SUITES["contract"]], Path(directory))
        else:
            code = subprocess.run([*command, *SUITES[suite]], check=False).returncode
        suites = ElementTree.parse(told).getroot() if told.exists() else ()  # noqa: S314 - pytest has written it
    tests, failures, errors, skipped = (
        sum(int(one.get(key, 0)) for one in suites) for key in ("tests", "failures", "errors", "skipped")
    )
    failed = max(failures + errors, int(code != 0))
    passed = tests - failures - errors - skipped
    return Result(engine, _version(program), passed, failed, skipped, time.monotonic() - began)


def _version(program: Program) -> str:
    root = program.root
    enter = ["unshare", "--mount", "--pid", "--fork", f"--mount-proc={root}/proc", "chroot", str(root)] if root else []
    told = subprocess.run(
        [*enter, program.name, "--version"], env={"PATH": PATH}, capture_output=True, text=True, check=True
    ).stdout
    return " ".join(re.findall(r"\d+(?:\.\d+)+", told)[:1])


def _table(results: list[Result]) -> str:
    head = f"{'engine':22}{'version':10}{'passed':>8}{'failed':>8}{'lacking':>9}{'seconds':>9}"
    return "\n".join([head, *map(str, results)])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
