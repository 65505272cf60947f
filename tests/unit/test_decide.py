"""Tables for `decide`: a scene, and the text of the plan that follows from it."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from reconciler.model.capabilities import Knob
from reconciler.model.container import MOUNTED, Deviation, HealthcheckSpec
from reconciler.model.labels import SOURCE
from reconciler.model.plan import Create, Reason, Stop, Verdict
from reconciler.model.world import Health, Network, Observed, Source, State
from reconciler.planning import backoff
from reconciler.planning.decide import decide
from reconciler.planning.describe import configuration
from reconciler.planning.memo import Memo
from reconciler.spec.policy import Limits, OnViolation, Policy, Removals, Replacements
from reconciler.spec.sandbox import Sandbox
from tests.scene import IMAGE, NOW, Scene, up_to

A, B, C = ("1" * 12, "2" * 12, "3" * 12)

WEB = "reconciler.default.web"

UPDATE = (
    f"web REPLACE ConfigurationChanged: create reconciler.default.web, verify new, stop {A}, verify new, start new, "
    f"remove {A}"
)

UPDATE_OF_STOPPED = (
    f"REPLACE ConfigurationChanged: create reconciler.default.c, verify new, remove {C}, verify new, start new"
)

Table = dict[str, tuple[Callable[[Scene], object], list[str]]]


def case(sentence: str, *lines: str) -> Callable[[Callable[[Scene], object]], Callable[[Scene], object]]:
    def add(build: Callable[[Scene], object]) -> Callable[[Scene], object]:
        assert sentence not in CASES
        CASES[sentence] = (build, list(lines))
        return build

    return add


CASES: Table = {}


def eight(scene: Scene, added_at: float = 0) -> None:
    """Eight run, of which four have lost their files."""
    scene.policy = up_to(8)
    for name in "abcdefgh":
        container = scene.container(name)
        scene.remember(name, container, added_at=added_at)
        if name > "d":
            scene.declare(name)


# --- creating and starting -------------------------------------------------------------------------------------------


@case(
    "a new file becomes a container: created, verified, then started",
    "web CREATE Absent: create reconciler.default.web, verify new, start new",
)
def _(scene: Scene) -> None:
    scene.declare("web")


@case(
    "an image that is not there is pulled first",
    "web CREATE Absent: pull app:1, create reconciler.default.web, verify new, start new",
)
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.images.clear()


@case(
    "pull_policy always pulls also what is there",
    "web CREATE Absent: pull app:1, create reconciler.default.web, verify new, start new",
)
def _(scene: Scene) -> None:
    scene.declare("web", pull_policy="always")


@case(
    "pull_policy never does not pull what is missing",
    "web CREATE Absent: create reconciler.default.web, verify new, start new",
)
def _(scene: Scene) -> None:
    scene.declare("web", pull_policy="never")
    scene.images.clear()


@case(
    "the network is created once, before the sandboxes' plans",
    "- create network reconciler.default",
    "a CREATE Absent: create reconciler.default.a, verify new, start new",
    "b CREATE Absent: create reconciler.default.b, verify new, start new",
)
def _(scene: Scene) -> None:
    scene.declare("a")
    scene.declare("b")
    scene.network = None


@case("of two networks with one name, the one too many goes", "- remove network mmmmmmmmmmmm", "web KEEP Running")
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.container("web")
    scene.network = Network("reconciler.default", "n" * 64, surplus=("m" * 64,))


@case("what runs as declared is kept", "web KEEP Running")
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.container("web")


@case(
    "a container that was created and never started, as after a crash, is verified and started",
    f"web START NotStarted: verify {A}, start {A}",
)
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.container("web", State.CREATED)


@case("a paused container is unpaused", f"web START Paused: unpause {A}")
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.container("web", State.PAUSED)


for knob in Knob:

    @case(f"no {knob}, no start", "new WAIT EngineUnfit", "old WAIT EngineUnfit", "web KEEP Running")
    def _(scene: Scene, knob: Knob = knob) -> None:
        scene.declare("new")
        scene.declare("old", network_mode="none")
        scene.container("old", State.EXITED, network_mode="none")
        scene.declare("web")
        scene.container("web")
        scene.lacking = {knob}


VOLUME: dict[str, Any] = {"volumes": [{"source": "/srv/data", "target": "/data"}]}


def allow_volume(scene: Scene) -> None:
    scene.policy = Policy.model_validate({"volumes": [{"root": "/srv"}]})
    scene.sources = {"/srv/data": Source("/srv/data")}


@case(
    "what has volumes is verified once more when they are mounted",
    "new CREATE Absent: create reconciler.default.new, verify new, start new, verify new",
    f"web START Exited: verify {A}, start {A}, verify {A}",
)
def _(scene: Scene) -> None:
    allow_volume(scene)
    scene.declare("web", **VOLUME)
    scene.container("web", State.EXITED, **VOLUME)
    scene.declare("new", **VOLUME)


@case(
    "what runs with something else mounted is replaced",
    f"web REPLACE Drifted: stop {A}, remove {A}, create reconciler.default.web, verify new, start new, verify new",
)
def _(scene: Scene) -> None:
    allow_volume(scene)
    scene.declare("web", **VOLUME)
    exchange(scene, 0, scene.container("web", **VOLUME))


@case(
    "what runs with something else mounted, in spite of its backoff, is only stopped",
    f"web REPLACE Drifted: stop {A}",
)
def _(scene: Scene) -> None:
    allow_volume(scene)
    scene.declare("web", **VOLUME)
    container = scene.container("web", **VOLUME)
    exchange(scene, 0, container)
    scene.failed("web", Reason.MOUNT_MISMATCH, container, fingerprint=container.fingerprint)


def exchange(scene: Scene, number: int, container: Observed) -> None:
    found = (Deviation(MOUNTED, "not /srv/data at /data"),)
    scene.containers[number] = replace(container, inspection=replace(container.inspection, deviations=found))


@case(
    "a kernel that lets neighbours talk admits nobody, and stops nobody",
    "alone CREATE Absent: create reconciler.default.alone, verify new, start new",
    "down WAIT NetworkUnfit",
    "up KEEP Running",
    "web WAIT NetworkUnfit",
)
def _(scene: Scene) -> None:
    for name in ("web", "down", "up"):
        scene.declare(name)
    scene.container("down", State.EXITED)
    scene.container("up")
    scene.declare("alone", network_mode="none")
    scene.network = Network("reconciler.default", "n" * 64, why_unfiltered="the kernel filters nothing")


@case(
    "a network that lets neighbours talk admits nobody",
    "alone CREATE Absent: create reconciler.default.alone, verify new, start new",
    "web WAIT NetworkUnfit",
)
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.declare("alone", network_mode="none")
    scene.network = Network("reconciler.default", "n" * 64, "lets containers talk to each other")


# --- what is not ours ------------------------------------------------------------------------------------------------


@case("nothing is started beside what another source owns, or what is odd", "a HOLD OwnedByAnother", "b WAIT Unmanaged")
def _(scene: Scene) -> None:
    for name, source in {"a": "another", "b": ""}.items():
        scene.declare(name)
        scene.stranger(name, source=source)


@case("what keeps it out is told also where there is no slot", "web HOLD OwnedByAnother", "z KEEP Running")
def _(scene: Scene) -> None:
    scene.policy = up_to(1)
    scene.declare("z")
    scene.container("z")
    scene.declare("web")
    scene.stranger("web", source="another")


@case("and while a failure rests, although an older one runs", "web WAIT Unmanaged")
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.container("web", mem_limit="256m")
    scene.failed("web", Reason.IMAGE_PULL_FAILED)
    scene.stranger("web")


@case("what runs in spite of it is kept, and not restarted", "a KEEP Running", "b KEEP Unhealthy")
def _(scene: Scene) -> None:
    for name, health in {"a": None, "b": Health.UNHEALTHY}.items():
        scene.declare(name)
        scene.container(name, health=health)
        scene.stranger(name)


@case("what was changed is stopped, and not replaced beside it", f"web REPLACE Drifted: stop {A}")
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.container("web", drift={"Memory": 1 << 30})
    scene.stranger("web")


# --- health ----------------------------------------------------------------------------------------------------------


@case("until its health check has passed, a sandbox is starting", "web KEEP Starting")
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.container("web", health=Health.STARTING)


@case("a healthy sandbox is kept", "web KEEP Healthy")
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.container("web", health=Health.HEALTHY)


@case(
    "an unhealthy sandbox is restarted with the time that it wants for its stop, verified anew",
    f"web START Unhealthy: stop {A}, verify {A}, start {A}",
)
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.container("web", health=Health.UNHEALTHY)


@case("while that rests it stays up", "web KEEP Unhealthy")
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.failed("web", Reason.UNHEALTHY, scene.container("web", health=Health.UNHEALTHY))


@case("with restart no it is only told", "web KEEP Unhealthy")
def _(scene: Scene) -> None:
    scene.declare("web", restart="no")
    scene.container("web", health=Health.UNHEALTHY, restart="no")


@case("what could not be started again is not stopped", "web KEEP Unhealthy")
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.container("web", health=Health.UNHEALTHY)
    scene.lacking = {Knob.SECCOMP}


@case("suspended, it is left alone also when it is unhealthy", "web HOLD Suspended")
def _(scene: Scene) -> None:
    scene.declare("web", suspend="being looked at")
    scene.container("web", health=Health.UNHEALTHY)


@case("an unhealthy sandbox keeps its slot while it is restarted", "a WAIT LimitExceeded", "web WAIT InFlight")
def _(scene: Scene) -> None:
    scene.policy = up_to(1)
    scene.declare("a")
    scene.declare("web")
    scene.failed("web", Reason.UNHEALTHY, scene.container("web", State.EXITED))
    scene.in_flight.add("web")


# --- replacing -------------------------------------------------------------------------------------------------------


@case(
    "a changed file replaces in the order: create, verify, stop old, verify again, start new, remove old",
    UPDATE,
)
def _(scene: Scene) -> None:
    scene.declare("web", mem_limit="256m")
    scene.container("web")


@case(
    "a replacement that was cut off after the create goes on from there",
    f"web START NotStarted: verify {B}, stop {A}, verify {B}, start {B}, remove {A}",
)
def _(scene: Scene) -> None:
    scene.declare("web", mem_limit="256m")
    scene.container("web")
    scene.container("web", State.CREATED, mem_limit="256m")


@case(
    "a replacement that was cut off after the stop goes on from there",
    f"web START NotStarted: verify {B}, remove {A}, verify {B}, start {B}",
)
def _(scene: Scene) -> None:
    scene.declare("web", mem_limit="256m")
    scene.container("web", State.EXITED)
    scene.container("web", State.CREATED, mem_limit="256m")


@case("a replacement that was cut off before the remove is finished", f"web REPLACE Leftover: remove {A}")
def _(scene: Scene) -> None:
    scene.declare("web", mem_limit="256m")
    scene.container("web", State.EXITED)
    scene.container("web", mem_limit="256m")


@case("of two that run for one name, the one that is not declared goes", f"web REPLACE Leftover: stop {A}, remove {A}")
def _(scene: Scene) -> None:
    scene.declare("web", mem_limit="256m")
    scene.container("web")
    scene.container("web", mem_limit="256m")


for state, actions in {State.RUNNING: f"stop {A}, remove {A}", State.EXITED: f"remove {A}"}.items():

    @case(
        f"what was replaced, and is {state}, goes also when the new one has ended", f"web REPLACE Leftover: {actions}"
    )
    def _(scene: Scene, state: State = state) -> None:
        scene.declare("web", mem_limit="256m", restart="no")
        scene.container("web", state)
        scene.container("web", State.EXITED, mem_limit="256m", restart="no")


@case("a policy that comes to forbid what runs replaces it", UPDATE.replace("ConfigurationChanged", "PolicyViolation"))
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.container("web", policy=Policy())
    scene.policy = Policy.model_validate({"limits": {"mem_limit": "256m"}})


@case(
    "drift is not left running while a new one is made",
    f"web REPLACE Drifted: stop {A}, remove {A}, create reconciler.default.web, verify new, start new",
)
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.container("web", drift={"Memory": 1 << 30})


@case(
    "a failure of what was declared before keeps nobody from undoing a drift",
    f"web REPLACE Drifted: stop {A}, remove {A}, create reconciler.default.web, verify new, start new",
)
def _(scene: Scene) -> None:
    scene.declare("web")
    container = scene.container("web", drift={"Memory": 1 << 30})
    scene.failed("web", Reason.IMAGE_PULL_FAILED, container, fingerprint="0" * 64, public_fingerprint="0" * 64)


def rename(scene: Scene) -> Observed:
    """Somebody has given the last container another name."""
    scene.containers[-1] = replace(scene.containers[-1], name="another")
    return scene.containers[-1]


@case("a container that somebody has renamed gets its name back", f"web RENAME Renamed: rename {A} to {WEB}")
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.container("web")
    rename(scene)


@case("unless that has failed a moment ago", "web KEEP Running")
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.container("web")
    scene.failed("web", Reason.RENAME_FAILED, rename(scene))


@case("what the engine is removing is waited for", "web WAIT EngineBusy")
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.container("web", State.REMOVING)


@case(
    "what is dead is removed, and made anew afterwards", "rests WAIT RemoveFailed", f"web REMOVE Leftover: remove {A}"
)
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.container("web", State.DEAD)
    scene.declare("rests")
    scene.failed("rests", Reason.REMOVE_FAILED, scene.container("rests", State.DEAD))


@case(
    "a removal that failed hinders only what would have to stop or remove something",
    "late WAIT RemoveFailed",
    "web CREATE Absent: create reconciler.default.web, verify new, start new",
)
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.failed("web", Reason.REMOVE_FAILED)
    scene.declare("late")
    container = scene.container("late", State.CREATED)
    scene.failed("late", Reason.REMOVE_FAILED, container, unconfirmed_start=container.id)


@case(
    "a stopped container that is not what was rendered is removed, never started",
    f"web REMOVE VerificationFailed: remove {A}",
)
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.container("web", State.CREATED, drift={"Privileged": True})


@case(
    "a random port that was taken is given up",
    f"web REPLACE PortsChanged: remove {A}, create reconciler.default.web, verify new, start new",
)
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.container("web", State.CREATED)
    scene.failed("web", Reason.PORT_TAKEN, retry_in=-1)


# --- restarting ------------------------------------------------------------------------------------------------------


QUEUED = [
    f"a REPLACE ConfigurationChanged: create reconciler.default.a, verify new, stop {A}, verify new, start new, "
    f"remove {A}",
    f"b REPLACE ConfigurationChanged: create reconciler.default.b, verify new, stop {B}, verify new, start new, "
    f"remove {B}",
    "c WAIT ReplacementQueued",
]


@case("a changed policy replaces two at a time; the others wait, and run on meanwhile", *QUEUED)
def _(scene: Scene) -> None:
    for name in "abc":
        scene.declare(name, mem_limit="256m")
        scene.container(name)


@case(
    "who has failed is replaced after who has not",
    "a WAIT ReplacementQueued",
    f"b REPLACE ConfigurationChanged: create reconciler.default.b, verify new, stop {B}, verify new, start new, "
    f"remove {B}",
    "c WAIT ReplacementQueued",
)
def _(scene: Scene) -> None:
    scene.policy = Policy(replacements=Replacements(max_parallel=1))
    for name, failures in (("a", 1), ("b", 0), ("c", 2)):
        scene.declare(name)
        scene.container(name, mem_limit="256m")
        if failures:
            scene.failed(name, Reason.IMAGE_PULL_FAILED, failures=failures, retry_in=-1)


@case("replacements that are under way count", "a WAIT InFlight", "b WAIT InFlight", "c WAIT ReplacementQueued")
def _(scene: Scene) -> None:
    for name in "abc":
        scene.declare(name, mem_limit="256m")
        scene.container(name)
    scene.in_flight = scene.replacing = {"a", "b"}


@case(
    "what does not run is replaced without waiting for others",
    "a WAIT InFlight",
    "b WAIT InFlight",
    f"c {UPDATE_OF_STOPPED}",
)
def _(scene: Scene) -> None:
    for name in "abc":
        scene.declare(name, mem_limit="256m")
    scene.container("a")
    scene.container("b")
    scene.container("c", State.EXITED)
    scene.in_flight = scene.replacing = {"a", "b"}


@case("what exited is started again, verified anew", f"web START Exited: verify {A}, start {A}")
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.container("web", State.EXITED, exit_code=1)


@case("what failed rests until its time", "web WAIT ExitCode")
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.container("web", State.EXITED, exit_code=1)
    scene.failed("web", Reason.EXIT_CODE, failures=3)


@case("a failure rests although a new version of reconciler renders otherwise", "web WAIT ImagePullFailed")
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.failed("web", Reason.IMAGE_PULL_FAILED, fingerprint="0" * 64, epoch=1)


@case("a clock that was set back does not make it rest for hours", f"web START Exited: verify {A}, start {A}")
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.container("web", State.EXITED, exit_code=1)
    scene.failed("web", Reason.EXIT_CODE, failures=3, retry_in=3600)


@case(
    "a new configuration does not wait for the old one's failures",
    f"web REPLACE ConfigurationChanged: create reconciler.default.web, verify new, remove {A}, verify new, start new",
)
def _(scene: Scene) -> None:
    scene.declare("web", mem_limit="256m")
    scene.container("web", State.EXITED, exit_code=1)
    scene.failed("web", Reason.EXIT_CODE, failures=9, retry_in=200)


@case("on-failure does not restart success", "web KEEP Completed")
def _(scene: Scene) -> None:
    scene.declare("web", restart="on-failure")
    scene.container("web", State.EXITED, restart="on-failure")


@case("on-failure restarts failure", f"web START Exited: verify {A}, start {A}")
def _(scene: Scene) -> None:
    scene.declare("web", restart="on-failure")
    scene.container("web", State.EXITED, exit_code=3, restart="on-failure")


@case("restart no leaves an exit as it is", "web KEEP ExitCode")
def _(scene: Scene) -> None:
    scene.declare("web", restart="no")
    scene.container("web", State.EXITED, exit_code=3)


@case("an exit for want of memory is told apart", "web KEEP OOMKilled")
def _(scene: Scene) -> None:
    scene.declare("web", restart="no")
    scene.container("web", State.EXITED, exit_code=137, oom_killed=True)


@case("also where it was not its first process that was killed", "web KEEP OOMKilled")
def _(scene: Scene) -> None:
    scene.declare("web", restart="no")
    scene.container("web", State.EXITED, exit_code=0, oom_killed=True)


@case("restart no does start what the controller itself had stopped", f"web START NotStarted: verify {A}, start {A}")
def _(scene: Scene) -> None:
    scene.declare("web", restart="no")
    container = scene.container("web", State.EXITED, exit_code=143)
    scene.remember("web", container, stopped_by_us=(container.id,))


@case(
    "what may still start late is removed before another one is started",
    f"web REPLACE ConfigurationChanged: create reconciler.default.web, verify new, remove {A}, verify new, start new",
)
def _(scene: Scene) -> None:
    scene.declare("web")
    container = scene.container("web", State.CREATED, mem_limit="256m")
    scene.remember("web", container, unconfirmed_start=container.id)


@case("the old one runs on while its replacement rests", "web WAIT ImagePullFailed")
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.failed("web", Reason.IMAGE_PULL_FAILED, scene.container("web", mem_limit="256m"))


@case("a replacement rests while the old one cannot be stopped", "web WAIT StopFailed")
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.container("web", State.CREATED)
    scene.failed("web", Reason.STOP_FAILED, scene.container("web", mem_limit="256m"))


@case(
    "an old one that the policy forbids does not run on while its replacement rests",
    f"web STOP PolicyViolation: stop {A}",
)
def _(scene: Scene) -> None:
    scene.policy = Policy(limits=Limits(mem_limit=128 << 20))
    scene.declare("web")
    scene.container("web", policy=Policy(), mem_limit="256m")
    scene.failed("web", Reason.IMAGE_PULL_FAILED)


@case("an old one that the policy allows runs on while its replacement rests", "web WAIT ImagePullFailed")
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.container("web", mem_limit="256m")
    scene.failed("web", Reason.IMAGE_PULL_FAILED)


# --- stopping, holding, refusing -------------------------------------------------------------------------------------


@case("state stopped stops", f"web STOP StopDeclared: stop {A}")
def _(scene: Scene) -> None:
    scene.declare("web", state="stopped")
    scene.container("web")


@case("what is stopped and meant to be stays", "web KEEP Stopped")
def _(scene: Scene) -> None:
    scene.declare("web", state="stopped")
    scene.container("web", State.EXITED)


@case("a broken file holds what runs", "web HOLD InvalidFile")
def _(scene: Scene) -> None:
    scene.broken.add("web")
    scene.container("web")


@case("a broken file holds also what has exited", "web HOLD InvalidFile")
def _(scene: Scene) -> None:
    scene.broken.add("web")
    scene.container("web", State.EXITED, exit_code=1)


@case("a file whose name no sandbox can have holds what it may be meant as", "my-app HOLD InvalidFile")
def _(scene: Scene) -> None:
    scene.invalid_names.add("My_App")
    scene.container("my-app")


@case("such a file declares nothing", "web REMOVE FileRemoved: stop 111111111111, remove 111111111111")
def _(scene: Scene) -> None:
    scene.invalid_names |= {"My_App", "Web_2"}
    scene.container("web")


@case("such a file beside a good one holds nobody", "web KEEP Running")
def _(scene: Scene) -> None:
    scene.invalid_names.add("Web")
    scene.declare("web")
    scene.container("web")


@case("suspend means hands off, whatever happens", "web HOLD Suspended")
def _(scene: Scene) -> None:
    scene.declare("web", suspend="being looked at", mem_limit="256m")
    scene.container("web", drift={"Memory": 1})


@case("what the policy forbids is not created", "web HOLD PolicyViolation")
def _(scene: Scene) -> None:
    scene.declare("web", mem_limit="1g")


@case("a file that asks too much leaves the accepted version running", "web HOLD PolicyViolation")
def _(scene: Scene) -> None:
    scene.declare("web", mem_limit="1g")
    scene.remember("web", scene.container("web"))


HELD: dict[str, Callable[[Scene], object]] = {
    "a file that asks too much": lambda scene: scene.declare("web", mem_limit="1g"),
    "a broken file": lambda scene: scene.broken.add("web"),
    "a removal that waits for approval": lambda scene: scene.wait_for_approval(scene.containers[0]),
    "an unreadable directory": lambda scene: setattr(scene, "complete", False),
    "a suspended sandbox": lambda scene: scene.declare("web", suspend="hands off"),
}
"""What leaves a container as it is."""

for what, hold in HELD.items():

    @case(f"{what} shelters nothing that the policy forbids", f"web STOP PolicyViolation: stop {A}")
    def _(scene: Scene, hold: Callable[[Scene], object] = hold) -> None:
        scene.policy = Policy(limits=Limits(mem_limit=128 << 20))
        scene.container("web", policy=Policy(), mem_limit="256m")
        hold(scene)

    @case(f"{what} shelters no port outside of the policy's range", f"web STOP PolicyViolation: stop {A}")
    def _(scene: Scene, hold: Callable[[Scene], object] = hold) -> None:
        scene.policy = Policy(published="8000-9999")
        scene.container("web", policy=Policy(), mem_limit="256m")
        hold(scene)

    if what != "a suspended sandbox":

        @case(f"{what} does not shelter what somebody has changed", f"web STOP Drifted: stop {A}")
        def _(scene: Scene, hold: Callable[[Scene], object] = hold) -> None:
            container = scene.container("web", drift={"NanoCpus": 10**8})
            scene.remember("web", container, configuration={"cpus": "1"})
            hold(scene)


WAITS: dict[str, Callable[[Scene], object]] = {
    "no seccomp": lambda scene: setattr(scene, "lacking", {Knob.SECCOMP}),
    "an unfit network": lambda scene: setattr(scene, "network", Network("reconciler.default", "n" * 64, "is odd")),
    "a failure that rests": lambda scene: scene.failed("web", Reason.IMAGE_PULL_FAILED),
}
"""Why an old container runs on although another one is declared."""

for what, hinder in WAITS.items():

    @case(f"{what} shelters no old container that the policy forbids", f"web STOP PolicyViolation: stop {A}")
    def _(scene: Scene, hinder: Callable[[Scene], object] = hinder) -> None:
        scene.policy = Policy(limits=Limits(mem_limit=128 << 20))
        scene.declare("web")
        scene.container("web", policy=Policy(), mem_limit="256m")
        hinder(scene)

    @case(f"{what} shelters no old container that somebody has changed", f"web STOP Drifted: stop {A}")
    def _(scene: Scene, hinder: Callable[[Scene], object] = hinder) -> None:
        scene.declare("web")
        scene.container("web", mem_limit="256m", drift={"RestartPolicy": {"Name": "always"}})
        hinder(scene)


@case("of two that run only the one is stopped that the policy forbids", f"web STOP PolicyViolation: stop {A}")
def _(scene: Scene) -> None:
    scene.policy = Policy(limits=Limits(mem_limit=128 << 20))
    scene.broken.add("web")
    scene.container("web", policy=Policy(), mem_limit="256m")
    scene.container("web", mem_limit="64m")


@case("what is forbidden, and uses too much, is told to be forbidden", f"web STOP PolicyViolation: stop {A}")
def _(scene: Scene) -> None:
    scene.policy = Policy(limits=Limits(mem_limit=128 << 20))
    scene.broken.add("web")
    fill(scene, "web", scene.container("web", policy=Policy(), mem_limit="256m"), 3000 * MIB)


@case("who waits for a replacement is stopped when somebody has changed it", *QUEUED[:2], f"c STOP Drifted: stop {C}")
def _(scene: Scene) -> None:
    for name in "abc":
        scene.declare(name, mem_limit="256m")
        scene.container(name, drift={"RestartPolicy": {"Name": "always"}} if name == "c" else {})


@case(
    "what a changed policy forbids waits for no turn",
    *(line.replace("ConfigurationChanged", "PolicyViolation") for line in QUEUED[:2]),
    QUEUED[0]
    .replace("ConfigurationChanged", "PolicyViolation")
    .replace(A, C)
    .replace(".a", ".c")
    .replace("a ", "c ", 1),
)
def _(scene: Scene) -> None:
    scene.policy = Policy(limits=Limits(mem_limit=128 << 20))
    for name in "abc":
        scene.declare(name)
        scene.container(name, policy=Policy(), mem_limit="256m")


@case("a freeze keeps back replacements", "web HOLD DirectoryUnreadable")
def _(scene: Scene) -> None:
    scene.declare("web", mem_limit="256m")
    scene.container("web")
    scene.complete = False


@case("what may have a file that cannot be read keeps its status", "web HOLD DirectoryUnreadable")
def _(scene: Scene) -> None:
    scene.failed("web", Reason.IMAGE_PULL_FAILED)
    scene.complete = False


@case("state stopped stops also what the policy refuses", f"web STOP StopDeclared: stop {A}")
def _(scene: Scene) -> None:
    scene.declare("web", state="stopped", mem_limit="9g")
    scene.container("web")


@case("a drift is only shown when the file said last that it is suspended", "web HOLD InvalidFile")
def _(scene: Scene) -> None:
    scene.container("web", drift={"NanoCpus": 10**8})
    scene.remember("web", scene.containers[0], configuration={"cpus": "1"})
    scene.broken.add("web")
    scene.last_good["web"] = Sandbox(image=IMAGE, suspend="hands off")


@case("a drift is undone also where violations are only reported", f"web STOP Drifted: stop {A}")
def _(scene: Scene) -> None:
    scene.policy = Policy(limits=Limits(mem_limit=128 << 20), on_violation=OnViolation.REPORT)
    scene.container("web", policy=Policy(), mem_limit="256m", drift={"RestartPolicy": {"Name": "always"}})
    scene.broken.add("web")


@case("what runs of a registry that is not built in runs on; its file is refused", "web HOLD PolicyViolation")
def _(scene: Scene) -> None:
    scene.declare("web", image="registry.example:5000/app:1")
    scene.container("web", image="registry.example:5000/app:1")


@case("what runs of an image that the owner's list leaves out is stopped", f"web STOP PolicyViolation: stop {A}")
def _(scene: Scene) -> None:
    scene.policy = Policy(images=("ghcr.io/owner/*",))
    scene.declare("web", image="registry.example:5000/app:1")
    scene.container("web", image="registry.example:5000/app:1")


@case("a drift of what is suspended is only shown", "web HOLD Suspended")
def _(scene: Scene) -> None:
    scene.declare("web", suspend="hands off")
    scene.remember("web", scene.container("web", drift={"NanoCpus": 10**8}), configuration={"cpus": "1"})


@case("what the policy forbids and only reports is left as it is", "web HOLD InvalidFile")
def _(scene: Scene) -> None:
    scene.policy = Policy(limits=Limits(mem_limit=128 << 20), on_violation=OnViolation.REPORT)
    scene.container("web", policy=Policy(), mem_limit="256m")
    scene.broken.add("web")


@case(
    "a drift behind a broken file is undone by what the file said last",
    f"web REPLACE Drifted: stop {A}, remove {A}, create reconciler.default.web, verify new, start new",
)
def _(scene: Scene) -> None:
    scene.container("web", drift={"NanoCpus": 10**8})
    scene.remember("web", scene.containers[0], configuration={"cpus": "1"})
    scene.broken.add("web")
    scene.last_good["web"] = Sandbox(image=IMAGE)


@case("a policy that comes to forbid what runs stops it", f"web STOP PolicyViolation: stop {A}")
def _(scene: Scene) -> None:
    scene.declare("web", mem_limit="512m")
    scene.container("web", policy=Policy())
    scene.policy = Policy.model_validate({"limits": {"mem_limit": "256m"}})


@case("on_violation report lets it run", "web HOLD PolicyViolation")
def _(scene: Scene) -> None:
    scene.declare("web", mem_limit="512m")
    scene.container("web", policy=Policy())
    scene.policy = Policy.model_validate({"limits": {"mem_limit": "256m"}, "on_violation": OnViolation.REPORT.value})


@case("a sandbox with a plan in flight is left to it", "web WAIT InFlight")
def _(scene: Scene) -> None:
    scene.declare("web", mem_limit="256m")
    scene.container("web")
    scene.in_flight.add("web")


def pull_of(image: str) -> Scene:
    scene = Scene()
    scene.declare("web", image="app:1")
    scene.pulling["web"] = image
    return scene


PULLS_FOR_NOTHING: dict[str, tuple[Callable[[Scene], object], bool]] = {
    "its file names another image": (lambda scene: scene.declare("web", image="app:3"), True),
    "its file is gone": (lambda scene: scene.files.clear(), True),
    "nothing has changed": (lambda _: None, False),
    "something else has changed": (lambda scene: scene.declare("web", image="app:1", mem_limit="64m"), False),
    "its file is suspended": (lambda scene: scene.declare("web", image="app:1", suspend="wait"), True),
    "its file wants it stopped": (lambda scene: scene.declare("web", image="app:1", state="stopped"), True),
    "somebody wants it down": (lambda scene: scene.ask("web", "down"), True),
    "somebody wants it to be restarted": (lambda scene: scene.ask("web", "restart"), False),
    "its file is refused": (lambda scene: scene.declare("web", image="app:3", mem_limit="1g"), False),
    "its file is broken": (lambda scene: (scene.files.clear(), scene.broken.add("web")), False),
    "what is there is not sure": (lambda scene: (scene.files.clear(), setattr(scene, "complete", False)), False),
}


@pytest.mark.parametrize(("change", "ends"), PULLS_FOR_NOTHING.values(), ids=PULLS_FOR_NOTHING)
def test_a_pull_is_outdated_when_its_file_surely_wants_it_no_more(
    change: Callable[[Scene], object], ends: bool
) -> None:
    """What is not sure ends none; neither does what counts for nothing."""
    scene = pull_of("app:1")
    change(scene)
    assert scene.plan().outdated == ({"web"} if ends else set())


# --- logs ------------------------------------------------------------------------------------------------------------


@case("what says too much is stopped", f"web STOP LogRateExceeded: stop {A}")
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.remember("web", container := scene.container("web"), over_log_rate=container.id)


@case("so is what is held", f"web STOP LogRateExceeded: stop {A}")
def _(scene: Scene) -> None:
    scene.broken.add("web")
    scene.remember("web", container := scene.container("web"), over_log_rate=container.id)


@case(
    "it is started again once that has rested",
    "later WAIT LogRateExceeded",
    f"now START NotStarted: verify {B}, start {B}",
)
def _(scene: Scene) -> None:
    for name, seconds in (("later", 10), ("now", -1)):
        scene.declare(name)
        id_ = scene.container(name, State.EXITED).id
        scene.failed(name, Reason.LOG_RATE_EXCEEDED, stopped_by_us=(id_,), over_log_rate=id_, retry_in=seconds)


@case("but for what is never restarted", "web KEEP LogRateExceeded")
def _(scene: Scene) -> None:
    scene.declare("web", restart="no")
    container = scene.container("web", State.EXITED, restart="no")
    scene.remember("web", container, stopped_by_us=(container.id,), over_log_rate=container.id)


# --- what an image brings along --------------------------------------------------------------------------------------


@case("an image with too many labels is refused", "web HOLD PolicyViolation")
def _(scene: Scene) -> None:
    scene.declare("web")
    scene.brought = {"labels": {"a": "x" * 65_536}}


@case(
    "so is one whose volume would be written to in spite of read_only, but for where something else is mounted",
    "bare HOLD PolicyViolation",
    "covered CREATE Absent: create reconciler.default.covered, verify new, start new",
    "writing CREATE Absent: create reconciler.default.writing, verify new, start new",
)
def _(scene: Scene) -> None:
    scene.declare("bare", read_only=True, tmpfs="/other")
    scene.declare("covered", read_only=True, tmpfs="/data")
    scene.declare("writing")
    scene.brought = {"volumes": ("/data/",)}


@case("what was accepted before its image was known is stopped", f"web STOP PolicyViolation: stop {A}")
def _(scene: Scene) -> None:
    scene.declare("web", read_only=True)
    scene.container("web", read_only=True)
    scene.brought = {"volumes": ("/data",)}


# --- disk ------------------------------------------------------------------------------------------------------------

MIB = 1024 * 1024


@case("what has written more than the policy allows is stopped", f"web STOP DiskExceeded: stop {A}")
def _(scene: Scene) -> None:
    scene.declare("web")
    fill(scene, "web", scene.container("web"), 2049 * MIB)


@case("as much as the policy allows may be written", "web KEEP Running")
def _(scene: Scene) -> None:
    scene.declare("web")
    fill(scene, "web", scene.container("web"), 2048 * MIB)


@case(
    "what was stopped for its disk is not started again, and holds no place",
    "other CREATE Absent: create reconciler.default.other, verify new, start new",
    "web KEEP DiskExceeded",
)
def _(scene: Scene) -> None:
    scene.policy = up_to(1)
    scene.declare("web")
    scene.declare("other")
    fill(scene, "web", scene.container("web", State.EXITED), 3000 * MIB)


@case(
    "a changed file gives what was stopped for its disk a new container",
    f"web REPLACE ConfigurationChanged: create reconciler.default.web, verify new, remove {A}, verify new, start new",
)
def _(scene: Scene) -> None:
    scene.declare("web", mem_limit="256m")
    fill(scene, "web", scene.container("web", State.EXITED), 3000 * MIB)


@case("a policy that allows more lets it start again", f"web START NotStarted: verify {A}, start {A}")
def _(scene: Scene) -> None:
    scene.policy = Policy(limits=Limits(disk=4096 * MIB))
    scene.declare("web")
    container = scene.container("web", State.EXITED, policy=scene.policy)
    fill(scene, "web", container, 3000 * MIB, stopped_by_us=(container.id,))


@case(
    "what runs of an older file, and fills its disk while the new one fails, is stopped",
    f"web STOP DiskExceeded: stop {A}",
)
def _(scene: Scene) -> None:
    scene.declare("web", mem_limit="256m")
    container = scene.container("web")
    scene.failed("web", Reason.IMAGE_PULL_FAILED, container, disk_bytes={container.id: 3000 * MIB})


@case(
    "whatever is held is stopped for its disk all the same",
    f"broken STOP DiskExceeded: stop {A}",
    f"suspended STOP DiskExceeded: stop {B}",
)
def _(scene: Scene) -> None:
    scene.broken.add("broken")
    scene.declare("suspended", suspend="I am looking into it")
    for name in ("broken", "suspended"):
        fill(scene, name, scene.container(name), 3000 * MIB)


def fill(scene: Scene, name: str, container: Observed, size: int, **fields: object) -> None:
    scene.remember(name, container, disk_bytes={container.id: size}, **fields)


# --- removing --------------------------------------------------------------------------------------------------------


@case("what has no file any more is stopped and removed", f"web REMOVE FileRemoved: stop {A}, remove {A}")
def _(scene: Scene) -> None:
    scene.container("web")


@case("the engine's own removal is waited for", "web WAIT EngineBusy")
def _(scene: Scene) -> None:
    scene.container("web", State.REMOVING)


@case("of what is being removed in part, the rest is removed", f"web REMOVE FileRemoved: remove {B}")
def _(scene: Scene) -> None:
    scene.container("web", State.REMOVING)
    scene.container("web", State.EXITED)


@case("while changes wait, nothing is removed", "web HOLD ChangesWait")
def _(scene: Scene) -> None:
    scene.container("web")
    scene.complete = False
    scene.waits = "a git merge is under way"


@case("an unreadable directory removes nothing", "web HOLD DirectoryUnreadable")
def _(scene: Scene) -> None:
    scene.container("web")
    scene.complete = False


@case("an empty directory that is another one removes nothing", "web HOLD DirectoryReplaced")
def _(scene: Scene) -> None:
    scene.container("web")
    scene.known_directory = (1, 3)


@case("an empty directory that is the same one is believed", f"web REMOVE FileRemoved: stop {A}, remove {A}")
def _(scene: Scene) -> None:
    scene.container("web")


@case(
    "three removals are within the budget",
    *(f"{name} REMOVE FileRemoved: stop {id_}, remove {id_}" for name, id_ in zip("abc", (A, B, C), strict=True)),
)
def _(scene: Scene) -> None:
    for name in "abc":
        scene.container(name)


@case("four of four are not", *(f"{name} HOLD RemovalBudgetExceeded" for name in "abcd"))
def _(scene: Scene) -> None:
    for name in "abcd":
        scene.container(name)


@case(
    "removals within the window count, whether they are under way or done",
    "a WAIT InFlight",
    *(f"{name} HOLD RemovalBudgetExceeded" for name in "bcd"),
)
def _(scene: Scene) -> None:
    for name in "abcd":
        scene.container(name)
    scene.in_flight.add("a")
    scene.removed = {"a": NOW - 1}


@case("removals before the window do not", f"b REMOVE FileRemoved: stop {A}, remove {A}")
def _(scene: Scene) -> None:
    scene.removed = dict.fromkeys("xyz", NOW - 601)
    scene.container("b")


@case(
    "a share of many is more than a few",
    *(
        f"{name} REMOVE FileRemoved: stop {id_ * 12}, remove {id_ * 12}"
        for name, id_ in zip("abcd", "1234", strict=True)
    ),
    *(f"{name} KEEP Running" for name in "efgh"),
)
def _(scene: Scene) -> None:
    eight(scene)


@case(
    "what was added, and what is remembered, just when the window began is of it",
    *(
        f"{name} REMOVE FileRemoved: stop {id_ * 12}, remove {id_ * 12}"
        for name, id_ in zip("abcd", "1234", strict=True)
    ),
    *(f"{name} KEEP Running" for name in "efgh"),
)
def _(scene: Scene) -> None:
    eight(scene, added_at=NOW - 600)
    scene.remembered_since = NOW - 600


@case(
    "what was added within the window raises no share",
    *(f"{name} HOLD RemovalBudgetExceeded" for name in "abcd"),
    *(f"{name} KEEP Running" for name in "efgh"),
)
def _(scene: Scene) -> None:
    eight(scene, added_at=NOW - 500)


@case(
    "without a memory of the window only the number counts",
    *(f"{name} HOLD RemovalBudgetExceeded" for name in "abcd"),
    *(f"{name} KEEP Running" for name in "efgh"),
)
def _(scene: Scene) -> None:
    eight(scene)
    scene.remembered_since = NOW - 500


@case("what waits for approval waits on, though few are left", "a HOLD RemovalBudgetExceeded", "b KEEP Running")
def _(scene: Scene) -> None:
    scene.wait_for_approval(scene.container("a"))
    scene.declare("b")
    scene.container("b")


@case("what is declared again waits for nothing", "a KEEP Running")
def _(scene: Scene) -> None:
    scene.wait_for_approval(scene.container("a"))
    scene.declare("a")


@case("of what is approved in part, all stays", "a HOLD RemovalBudgetExceeded")
def _(scene: Scene) -> None:
    scene.approved.add(scene.container("a", State.EXITED).id)
    scene.wait_for_approval(scene.container("a"))


@case("a budget of nothing removes nothing before somebody approves it", "a HOLD RemovalBudgetExceeded")
def _(scene: Scene) -> None:
    scene.policy = Policy(removals=Removals(max=0, share=0))
    scene.remembered_since = NOW
    scene.remember("a", scene.container("a"))


@case("what waits for approval is judged anew under another policy", f"a REMOVE FileRemoved: stop {A}, remove {A}")
def _(scene: Scene) -> None:
    scene.wait_for_approval(scene.container("a"))
    scene.policy = up_to(4)


@case(
    "approved removals happen, and only those",
    f"a REMOVE FileRemoved: stop {A}, remove {A}",
    *(f"{name} HOLD RemovalBudgetExceeded" for name in "bcde"),
)
def _(scene: Scene) -> None:
    for name in "abcde":
        scene.container(name)
    scene.approved.add("1" * 64)


@case("an approval does not make an unreadable directory known", "web HOLD DirectoryUnreadable")
def _(scene: Scene) -> None:
    scene.approved.add(scene.container("web").id)
    scene.complete = False


# --- the limit -------------------------------------------------------------------------------------------------------


@case(
    "who runs keeps its place; the next in the order of names gets the free one",
    "a WAIT LimitExceeded",
    "b WAIT LimitExceeded",
    "z KEEP Running",
)
def _(scene: Scene) -> None:
    scene.policy = up_to(1)
    scene.declare("a")
    scene.declare("b")
    scene.declare("z")
    scene.container("z")


@case(
    "a place is not free before its container has stopped",
    "a WAIT LimitExceeded",
    f"z REMOVE FileRemoved: stop {A}, remove {A}",
)
def _(scene: Scene) -> None:
    scene.policy = up_to(1)
    scene.declare("a")
    scene.container("z")


@case("a plan in flight holds a slot", "a WAIT InFlight", "b WAIT LimitExceeded")
def _(scene: Scene) -> None:
    scene.policy = up_to(1)
    scene.declare("a")
    scene.declare("b")
    scene.in_flight.add("a")


ORDER: dict[str, Callable[[Scene, str], object]] = {
    "has exited, and nothing is remembered of it": lambda scene, name: scene.container(name, State.EXITED),
    "has exited for the first time": lambda scene, name: scene.failed(
        name, Reason.EXIT_CODE, scene.container(name, State.EXITED), retry_in=0
    ),
    "has never failed": lambda *_: None,
    "was stopped by the controller": lambda scene, name: scene.remember(
        name, (container := scene.container(name, State.EXITED)), stopped_by_us=(container.id,)
    ),
    "has failed once and is to be tried": lambda scene, name: scene.failed(name, Reason.PORT_TAKEN, retry_in=-1),
    "has exited, and could then not be started": lambda scene, name: scene.failed(
        name, Reason.START_FAILED, scene.container(name, State.EXITED), retry_in=-1
    ),
    "has crashed twice and is to be tried": lambda scene, name: scene.failed(
        name, Reason.EXIT_CODE, scene.container(name, State.EXITED), failures=2, retry_in=-1
    ),
    "is in backoff": lambda scene, name: scene.failed(name, Reason.IMAGE_PULL_FAILED),
    "crashes and is in backoff": lambda scene, name: scene.failed(
        name, Reason.EXIT_CODE, scene.container(name, State.EXITED), failures=3
    ),
}
"""Who waits for a slot, in the order in which slots are given."""

EQUALS = {
    ("has never failed", "was stopped by the controller"),
    ("has failed once and is to be tried", "has exited, and could then not be started"),
}


PAIRS = [pair for pair in combinations(ORDER, 2) if pair not in EQUALS]


@pytest.mark.parametrize(("first", "last"), PAIRS)
def test_slots_are_given_in_the_order_of_hope(first: str, last: str) -> None:
    """Running first; then a first exit, who has never failed, who has failed less often, and who rests at the end."""
    scene = Scene(policy=up_to(1))
    scene.declare("z")
    scene.declare("a")
    ORDER[first](scene, "z")
    ORDER[last](scene, "a")
    plans = {planned.sandbox: planned for planned in scene.plan().sandboxes}
    assert plans["a"].cause is Reason.LIMIT_EXCEEDED
    assert plans["z"].cause is not Reason.LIMIT_EXCEEDED


@case(
    "a crash loop that has come to its end because of a new file does not wait behind others",
    f"a REPLACE ConfigurationChanged: create reconciler.default.a, verify new, remove {A}, verify new, start new",
    "b WAIT LimitExceeded",
)
def _(scene: Scene) -> None:
    scene.policy = up_to(1)
    scene.declare("a", mem_limit="256m")
    scene.failed("a", Reason.EXIT_CODE, scene.container("a", State.CREATED), failures=9, retry_in=200)
    scene.declare("b")


@case(
    "what waits for a network that is fit keeps nobody waiting who needs none",
    "a WAIT LimitExceeded",
    "b CREATE Absent: create reconciler.default.b, verify new, start new",
)
def _(scene: Scene) -> None:
    scene.policy = up_to(1)
    scene.declare("a")
    scene.declare("b", network_mode="none")
    scene.network = Network("reconciler.default", "n" * 64, "lets containers talk to each other")


@case(
    "who is kept out by another source keeps nobody waiting",
    "a HOLD OwnedByAnother",
    "b CREATE Absent: create reconciler.default.b, verify new, start new",
)
def _(scene: Scene) -> None:
    scene.policy = up_to(1)
    scene.declare("a")
    scene.stranger("a", source="another")
    scene.declare("b")


@case(
    "what may be ours counts when it runs, and what is nobody's does not",
    "a CREATE Absent: create reconciler.default.a, verify new, start new",
    "b WAIT LimitExceeded",
)
def _(scene: Scene) -> None:
    scene.policy = up_to(2)
    for name in "ab":
        scene.declare(name)
    scene.stranger("gone", up=True)
    scene.stranger("down")
    scene.stranger("", up=True)


@case(
    "who is held and runs keeps its place before who is declared",
    f"a STOP LimitExceeded: stop {A}",
    "b HOLD InvalidFile",
)
def _(scene: Scene) -> None:
    scene.policy = up_to(1)
    scene.declare("a")
    scene.broken.add("b")
    for name in "ab":
        scene.container(name)


@case("who is held and does not run takes no place from who runs", "a KEEP Running", "b HOLD InvalidFile")
def _(scene: Scene) -> None:
    scene.policy = up_to(1)
    scene.declare("a")
    scene.container("a")
    scene.broken.add("b")


@case("who is about to stop takes no place from who runs", "a KEEP Running", f"b STOP StopDeclared: stop {B}")
def _(scene: Scene) -> None:
    scene.policy = up_to(1)
    scene.declare("a")
    scene.declare("b", state="stopped")
    for name in "ab":
        scene.container(name)


@case("a lower limit stops the last by name", "a KEEP Running", f"b STOP LimitExceeded: stop {B}")
def _(scene: Scene) -> None:
    scene.policy = up_to(1)
    for name in "ab":
        scene.declare(name)
        scene.container(name)


@case("a held sandbox that runs keeps its place", "a WAIT LimitExceeded", "web HOLD InvalidFile")
def _(scene: Scene) -> None:
    scene.policy = up_to(1)
    scene.declare("a")
    scene.broken.add("web")
    scene.container("web")


@case(
    "what has completed holds no place",
    "a KEEP Completed",
    "b CREATE Absent: create reconciler.default.b, verify new, start new",
)
def _(scene: Scene) -> None:
    scene.policy = up_to(1)
    scene.declare("a", restart="no")
    scene.container("a", State.EXITED)
    scene.declare("b")


@pytest.mark.parametrize("sentence", CASES)
def test_decide(sentence: str) -> None:
    """Each scene leads to exactly its plan."""
    build, lines = CASES[sentence]
    scene = Scene()
    build(scene)
    assert scene.lines() == lines


USERS: dict[str, tuple[Callable[[Scene], object], str]] = {
    "who runs": (lambda scene: scene.container("a"), "used by a"),
    "who starts": (lambda _: None, "used by a"),
    "who is in flight": (lambda scene: scene.in_flight.add("a"), "used by a"),
    "who is held and runs": (
        lambda scene: (scene.files.pop("a"), scene.broken.add("a"), scene.container("a")),
        "used by a",
    ),
    "who is being removed": (lambda scene: (scene.files.pop("a"), scene.container("a")), "used by a"),
    "who may be ours": (
        lambda scene: (scene.stranger("stray", up=True), scene.stranger("down"), scene.stranger("", up=True)),
        "used by stray (unmanaged)",
    ),
    "who cannot start yet": (
        lambda scene: (scene.failed("a", Reason.PORT_TAKEN), scene.failed("z", Reason.PORT_TAKEN)),
        "reserved for a, which cannot start yet",
    ),
    "one of each": (
        lambda scene: (
            setattr(scene, "policy", up_to(2)),
            scene.container("a"),
            scene.declare("b"),
            scene.failed("b", Reason.PORT_TAKEN),
            scene.failed("z", Reason.PORT_TAKEN),
        ),
        "used by a; reserved for b, which cannot start yet",
    ),
}


@pytest.mark.parametrize("users", USERS)
def test_limit_message_names_who_has_the_slots(users: str) -> None:
    """A sandbox that waits is told who uses the slots, for whom one is reserved, and what would free one."""
    use, told = USERS[users]
    scene = Scene(policy=up_to(1))
    scene.declare("a")
    scene.declare("z")
    use(scene)
    limit = scene.policy.sandboxes_max
    assert scene.plan().sandboxes[-1].message == (
        f"{limit} of {limit} slots are used; stop or remove one, or raise sandboxes_max; {told}"
    )


@pytest.mark.parametrize("hinder", [lambda _: None, *WAITS.values()], ids=["nothing", *WAITS])
@pytest.mark.parametrize("state", [State.RUNNING, State.EXITED])
def test_an_old_container_stands_for_its_sandbox_until_another_is_started(
    state: State, hinder: Callable[[Scene], object]
) -> None:
    """What its status tells of is what is there, whatever keeps the new one from being started."""
    scene = Scene()
    scene.declare("web", mem_limit="256m")
    container = scene.container("web", state)
    hinder(scene)
    assert [planned.current for planned in scene.plan().sandboxes] == [container]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("", "it is odd; remove it, or its labels (container stranger, ffffffffffff)"),
        (
            "host:/my boxes",
            "owned by another source; `--adopt 'host:/my boxes'` takes it over (container stranger, ffffffffffff)",
        ),
    ],
)
def test_what_keeps_a_sandbox_out_is_told_with_what_mends_it(source: str, told: str) -> None:
    """Whose it is, or else why it is nobody's; the container last, by which it is found."""
    scene = Scene()
    scene.declare("web")
    scene.stranger("web", source=source)
    assert [planned.message for planned in scene.plan().sandboxes] == [told]


SYNCED: dict[str, tuple[Callable[[Scene], object], bool]] = {
    "it runs": (lambda scene: scene.container("web"), True),
    "it was paused": (lambda scene: scene.container("web", State.PAUSED), True),
    "it has exited by itself": (lambda scene: scene.container("web", State.EXITED), True),
    "it was stopped by the controller": (
        lambda scene: scene.remember("web", one := scene.container("web", State.EXITED), stopped_by_us=(one.id,)),
        False,
    ),
    "it was never started": (lambda scene: scene.container("web", State.CREATED), False),
    "it is not there": (lambda _: None, False),
    "it was changed": (lambda scene: scene.container("web", drift={"Memory": 1 << 30}), False),
    "an older one runs": (lambda scene: scene.container("web", mem_limit="256m"), False),
    "an older one runs beside it": (
        lambda scene: (scene.container("web", mem_limit="256m"), scene.container("web")),
        False,
    ),
    "an older one is left over": (
        lambda scene: (scene.container("web", State.EXITED, mem_limit="256m"), scene.container("web")),
        True,
    ),
    "it runs and has no slot": (
        lambda scene: (
            setattr(scene, "policy", up_to(1)),
            scene.declare("a"),
            scene.container("a"),
            scene.container("web"),
        ),
        False,
    ),
}


@pytest.mark.parametrize("what", SYNCED)
def test_a_sandbox_is_synced_when_what_is_declared_runs_or_has_come_to_its_end(what: str) -> None:
    """And nothing else runs for it."""
    build, synced = SYNCED[what]
    scene = Scene()
    scene.declare("web")
    build(scene)
    assert scene.plan().sandboxes[-1].synced is synced


SUSPENDED: dict[str, tuple[dict[str, Any], Callable[[Scene], object], bool]] = {
    "it runs": ({}, lambda scene: scene.container("web"), True),
    "an older one runs": ({}, lambda scene: scene.container("web", mem_limit="64m"), False),
    "it does not run": ({}, lambda scene: scene.container("web", State.EXITED), False),
    "it is stopped": ({"state": "stopped"}, lambda scene: scene.container("web", State.EXITED), True),
    "it is not stopped": ({"state": "stopped"}, lambda scene: scene.container("web"), False),
    "it runs, and is refused": (
        {"image": "a.example/b"},
        lambda scene: scene.container("web", image="a.example/b"),
        False,
    ),
    "it is refused, and stopped": ({"mem_limit": "9g", "state": "stopped"}, lambda _: None, True),
}


@pytest.mark.parametrize("what", SUSPENDED)
def test_what_is_suspended_is_synced_when_it_is_as_its_file_says(what: str) -> None:
    """Though nothing would be done about it; also that it is refused is told meanwhile."""
    keys, build, synced = SUSPENDED[what]
    scene = Scene()
    scene.declare("web", suspend="hands off", **keys)
    build(scene)
    (planned,) = scene.plan().sandboxes
    assert (planned.cause, planned.message, planned.synced) == (Reason.SUSPENDED, "hands off", synced)
    assert bool(planned.problems) is ("refused" in what)


@pytest.mark.parametrize("state", [State.RUNNING, State.EXITED])
def test_what_is_stopped_and_meant_to_be_is_synced(state: State) -> None:
    """As soon as it is."""
    scene = Scene()
    scene.declare("web", state="stopped")
    scene.container("web", state)
    assert scene.plan().sandboxes[0].synced is (state is State.EXITED)


@pytest.mark.parametrize(
    ("state", "more"), [(State.RUNNING, "; the last accepted version runs on"), (State.EXITED, "")]
)
def test_that_a_refused_file_leaves_something_running_is_told(state: State, more: str) -> None:
    """Or else nobody would know what still runs."""
    scene = Scene()
    scene.declare("web", mem_limit="9g")
    scene.container("web", state)
    (planned,) = scene.plan().sandboxes
    assert planned.message == f"{planned.problems[0]}{more}"


def test_what_runs_stands_for_its_sandbox_whatever_is_done_with_it() -> None:
    """Also before it is removed, or held; of two that run, the one that is declared."""
    scene = Scene()
    scene.broken.add("held")
    scene.declare("off", state="stopped")
    scene.declare("two")
    standing = [scene.container("gone"), scene.container("held"), scene.container("off")]
    scene.container("gone", State.EXITED, created_at=NOW - 50)
    standing.append(scene.container("two"))
    scene.container("two", mem_limit="64m", created_at=NOW - 50)
    assert [planned.current for planned in scene.plan().sandboxes] == standing


def test_what_is_paused_is_not_on_its_way() -> None:
    """It counts as ready from when it goes on."""
    scene = Scene()
    scene.declare("web")
    container = scene.container("web", State.PAUSED)
    scene.containers[0] = replace(container, inspection=replace(container.inspection, started_at=NOW - 4))
    scene.failed("web", Reason.EXIT_CODE, container, retry_in=-1)
    assert [planned.ready_at for planned in scene.plan().sandboxes] == [0]


def test_what_stays_the_same_is_not_worked_out_again() -> None:
    """From one pass to the next, of the same objects come the same."""
    scene, memo = Scene(), Memo()
    scene.declare("web")
    desired, world = scene.desired(), scene.world()
    first, second = (decide(desired, scene.policy, world, scene.memory(), NOW, memo).sandboxes for _ in range(2))
    assert first[0].rendered is second[0].rendered


@pytest.mark.parametrize(("own", "seconds"), [({}, 10), ({"stop_grace_period": "90s"}, 90)])
def test_what_its_owner_wants_to_stop_is_given_its_own_time(own: dict[str, Any], seconds: int) -> None:
    """Ten seconds where nothing says otherwise, also of a container that nobody has described."""
    scene = Scene()
    scene.declare("web", state="stopped")
    container = scene.container("web", **own)
    assert scene.plan().sandboxes[0].actions == (Stop(container.id, seconds),)
    scene.containers[0] = replace(container, inspection=replace(container.inspection, spec=None))
    assert scene.plan().sandboxes[0].actions == (Stop(container.id, 10),)


def test_why_a_replacement_waits_is_told() -> None:
    """For its turn, or for a directory that can be believed; what is forbidden waits for neither."""
    scene = Scene()
    for name in "abc":
        scene.declare(name, mem_limit="256m")
        scene.container(name)
    assert scene.plan().sandboxes[2].message == "it is replaced later: the policy allows 2 replacements at a time"
    scene.complete = False
    unsure = "the directory cannot be read; nothing is removed or replaced"
    assert {planned.message for planned in scene.plan().sandboxes} == {unsure}
    scene.policy = Policy(limits=Limits(mem_limit=256 << 20))
    forbidden = "what runs is forbidden: mem_limit 512m is over the policy's ceiling"
    assert {planned.message for planned in scene.plan().sandboxes} == {forbidden}


def test_what_is_stopped_in_spite_of_its_file_is_told_by_field() -> None:
    """And at once, whatever else was waited for."""
    scene = Scene()
    scene.declare("web")
    scene.container("web", mem_limit="256m", drift={"RestartPolicy": {"Name": "always"}})
    scene.failed("web", Reason.IMAGE_PULL_FAILED)
    (planned,) = scene.plan().sandboxes
    assert (planned.verdict, planned.cause, planned.retry_at) == (Verdict.STOP, Reason.DRIFTED, 0)
    assert [str(change) for change in planned.changes] == ["restart_policy: always should be no"]
    assert planned.message == "restart_policy: always should be no"
    scene.declare("web", suspend="hands off")
    (planned,) = scene.plan().sandboxes
    assert (planned.verdict, planned.cause, planned.actions) == (Verdict.HOLD, Reason.SUSPENDED, ())
    assert [str(change) for change in planned.changes] == ["restart_policy: always should be no"]
    assert planned.message == "hands off; somebody has changed it: restart_policy: always should be no"


def test_a_drift_is_told_by_field() -> None:
    """What is, and what should be."""
    scene = Scene()
    scene.declare("web")
    scene.container("web", drift={"Memory": 1 << 30})
    (planned,) = scene.plan().sandboxes
    assert [str(change) for change in planned.changes] == ["mem_limit: 1g should be 512m"]
    assert planned.message == "mem_limit: 1g should be 512m"


@pytest.mark.parametrize(("of_this_one", "told"), [(True, ['command: ["serve"] should be nothing']), (False, [])])
def test_what_a_new_file_leaves_out_is_told_where_the_old_one_is_remembered(of_this_one: bool, told: list[str]) -> None:
    """What its container was made from: of any other container that says nothing."""
    scene = Scene()
    scene.declare("web")
    container = scene.container("web", command=["serve"])
    made_from = configuration(scene.rendered("web", 61000, command=["serve"]).spec)
    scene.remember("web", container, configuration=made_from)
    if not of_this_one:
        scene.statuses["web"] = scene.statuses["web"].model_copy(update={"container_id": "another"})
    assert [str(change) for change in scene.plan().sandboxes[0].changes] == told


AT_FIRST = HealthcheckSpec(("CMD", "true"), start_interval=0.001)
OFTEN = HealthcheckSpec(("CMD", "true"), interval=0.001, timeout=0.5, retries=2)


@pytest.mark.parametrize(
    ("brought", "own", "made"),
    [
        (OFTEN, None, HealthcheckSpec(("CMD", "true"), interval=1, timeout=1, retries=2)),
        (HealthcheckSpec(("CMD", "true"), interval=0.5), None, HealthcheckSpec(("CMD", "true"), interval=1)),
        (HealthcheckSpec(("CMD", "true")), None, None),
        (HealthcheckSpec(("CMD", "true"), interval=60, timeout=1), None, None),
        (HealthcheckSpec(("NONE",)), None, None),
        (None, None, None),
        (OFTEN, {"test": ["CMD", "a"]}, HealthcheckSpec(("CMD", "a"), 30, 30, 0, 3)),
        (AT_FIRST, None, HealthcheckSpec(("CMD", "true"), start_interval=1)),
        (AT_FIRST, {"test": ["CMD", "a"]}, HealthcheckSpec(("CMD", "a"), 30, 30, 0, 3, start_interval=1)),
    ],
)
def test_health_check_of_an_image(brought: HealthcheckSpec | None, own: object, made: HealthcheckSpec | None) -> None:
    """One that runs too often is calmed where the container is made, and moves no fingerprint; any other is kept."""
    scene = Scene(brought={"healthcheck": brought})
    scene.declare("web", **({"healthcheck": own} if own else {}))
    (planned,) = scene.plan().sandboxes
    (create,) = (action for action in planned.actions if isinstance(action, Create))
    check = create.rendered.spec.healthcheck
    assert check == made
    assert made is None or (check and check.start_interval == made.start_interval)
    assert planned.rendered is not None
    assert create.rendered.fingerprint == planned.rendered.fingerprint


def test_disk_message_says_what_mends_it() -> None:
    """The cause first, then what to do, in one line of a terminal."""
    scene = Scene()
    scene.declare("web")
    fill(scene, "web", scene.container("web", State.EXITED), 3000 * MIB)
    assert (
        scene.plan().sandboxes[0].message == "over disk 2g: it has written 3000m; change its file for a new container"
    )


def test_removals_pending_approval_name_exactly_the_containers() -> None:
    """What `approve` will approve are the ids of the containers that wait, and no others."""
    scene = Scene()
    ids = {name: scene.container(name).id for name in "abcd"}
    scene.declare("kept", state="stopped")
    assert scene.plan().pending_approval.containers == {name: (id_,) for name, id_ in ids.items()}


def test_unreadable_directory_offers_nothing_to_approve() -> None:
    """What could not be read cannot be approved either, but for what waited before and still does."""
    scene = Scene(complete=False)
    scene.container("web")
    assert scene.plan().pending_approval.containers == {}
    waiting = scene.container("waiting")
    scene.wait_for_approval(waiting)
    assert scene.plan().pending_approval.containers == {"waiting": (waiting.id,)}
    scene.declare("waiting")
    assert scene.plan().pending_approval.containers == {}


def test_of_what_waits_for_several_reasons_one_is_told() -> None:
    """Always the same; and of several sources that were adopted the first by name."""
    scene = Scene()
    for name in "abcd":
        scene.container(name)
    for source in ("second", "first"):
        adopted = scene.container("adopted", State.EXITED)
        spec = adopted.inspection.spec
        assert spec
        spec = replace(spec, labels={**spec.labels, SOURCE: source})
        scene.containers[-1] = replace(adopted, inspection=replace(adopted.inspection, spec=spec))
    plan = scene.plan()
    assert plan.sandboxes[1].message.startswith("adopted from first, and no file declares it")
    assert plan.pending_approval.reason is Reason.OWNED_BY_ANOTHER


def test_ports_are_kept_over_a_replacement() -> None:
    """The random host port of the old container is the new one's."""
    scene = Scene()
    scene.declare("web", mem_limit="256m")
    scene.container("web", port=61234)
    rendered = scene.plan().sandboxes[0].rendered
    assert rendered is not None
    assert rendered.ports == {3000: 61234}


def test_two_new_sandboxes_never_get_the_same_port() -> None:
    """Random ports differ, also from those that are published by declaration."""
    scene = Scene(policy=up_to(300))
    for number in range(300):
        scene.declare(f"s{number}")
    ports = [planned.rendered.ports[3000] for planned in scene.plan().sandboxes if planned.rendered]
    assert len(set(ports)) == 300
    assert all(61000 <= port <= 65535 for port in ports)


@pytest.mark.parametrize(
    ("published", "port", "expected"),
    [
        ("8000-9999", 61234, range(8000, 10000)),
        ("8000-9999", 8500, range(8500, 8501)),
        ("8000-61003", 8500, range(8500, 8501)),
        ("8000-61003", 61234, range(61000, 61004)),
        ("62000-62002", 61234, range(62000, 62003)),
    ],
)
def test_ports_lie_in_the_range_of_the_policy(published: str, port: int, expected: range) -> None:
    """A port that the policy still allows is kept; another is drawn from where random ports are, if it allows those."""
    scene = Scene(policy=Policy(published=published))
    scene.declare("web", ports=[3000, 3001])
    scene.container("web", port=port, ports=[3000])
    (planned,) = scene.plan().sandboxes
    assert planned.rendered is not None
    assert planned.rendered.ports[3000] in expected
    assert planned.rendered.ports[3001] in Policy(published=published).published_ports
    assert len(set(planned.rendered.ports.values())) == 2


def test_what_runs_on_a_port_that_the_policy_forbids_is_replaced() -> None:
    """A changed range moves also what runs."""
    scene = Scene(policy=Policy(published="8000-9999"))
    scene.declare("web")
    scene.container("web")
    assert scene.lines() == [
        f"web REPLACE PolicyViolation: stop {A}, remove {A}, create reconciler.default.web, verify new, start new"
    ]


def test_the_unhealthy_is_looked_at_again_when_it_has_rested() -> None:
    """A clock that was set back does not make it wait for hours."""
    scene = Scene()
    scene.declare("web")
    container = scene.container("web", health=Health.UNHEALTHY)
    scene.failed("web", Reason.UNHEALTHY, container, retry_in=7)
    assert scene.plan().sandboxes[0].retry_at == NOW + 7
    scene.failed("web", Reason.UNHEALTHY, container, retry_in=3600)
    assert scene.plan().sandboxes[0].actions


def test_waiting_says_when_it_ends() -> None:
    """A sandbox that rests carries the time of its next attempt."""
    scene = Scene()
    scene.declare("web")
    scene.failed("web", Reason.IMAGE_PULL_FAILED, retry_in=7)
    assert scene.plan().sandboxes[0].retry_at == NOW + 7


def test_what_drifted_gets_a_second_to_stop() -> None:
    """The author of the code chose the longer time; only what the owner wants is given it."""
    scene = Scene()
    scene.declare("web", stop_grace_period="90s")
    container = scene.container("web", stop_grace_period="90s", drift={"Privileged": True})
    assert [action for action in scene.plan().sandboxes[0].actions if isinstance(action, Stop)] == [
        Stop(container.id, 1)
    ]


def test_what_the_policy_forbids_gets_a_second_to_stop() -> None:
    """Also when it is stopped because the policy has changed."""
    scene = Scene(policy=Policy(limits=Limits(mem_limit=128 << 20)))
    scene.declare("web", mem_limit="256m", stop_grace_period="90s")
    container = scene.container("web", policy=Policy(), mem_limit="256m", stop_grace_period="90s")
    assert scene.plan().sandboxes[0].actions == (Stop(container.id, 1),)


@pytest.mark.parametrize("declared", [{"state": "stopped"}, {"mem_limit": "64m"}, None])
def test_what_has_changed_gets_a_second_whoever_wants_it_to_stop(declared: dict[str, Any] | None) -> None:
    """A stop, an update or a removal that somebody asked for is no longer time for what nobody has verified."""
    scene = Scene()
    container = scene.container("web", stop_grace_period="90s", drift={"RestartPolicy": {"Name": "always"}})
    if declared is not None:
        scene.declare("web", **declared)
    assert Stop(container.id, 1) in scene.plan().sandboxes[0].actions


@pytest.mark.parametrize(
    ("change", "cause", "message"),
    [
        (
            lambda scene: setattr(scene, "lacking", {Knob.SECCOMP, Knob.MEMORY}),
            Reason.ENGINE_UNFIT,
            "the engine cannot enforce memory, seccomp; see `reconciler doctor`",
        ),
        (
            lambda scene: setattr(
                scene, "network", Network("net", "n" * 64, "is odd", why_unfiltered="the kernel is odd")
            ),
            Reason.NETWORK_UNFIT,
            "is odd; remove the network: net",
        ),
        (
            lambda scene: setattr(scene, "network", Network("net", "n" * 64, why_unfiltered="the kernel is odd")),
            Reason.NETWORK_UNFIT,
            "the kernel is odd; see `reconciler doctor`",
        ),
    ],
)
def test_why_nothing_can_be_started_is_told(change: Callable[[Scene], object], cause: Reason, message: str) -> None:
    """First what the engine lacks, then what is wrong with its network, then with the host's kernel."""
    scene = Scene()
    scene.declare("web")
    change(scene)
    (planned,) = scene.plan().sandboxes
    assert (planned.verdict, planned.cause, planned.message) == (Verdict.WAIT, cause, message)


@pytest.mark.parametrize(("number", "more"), [(5, ""), (6, "; and 1 more, see `reconciler validate`")])
def test_of_many_problems_the_first_are_told(number: int, more: str) -> None:
    """And how many there are besides."""
    scene = Scene(policy=Policy(published="8000-8001"))
    ports = [{"target": target, "published": 9000 + target} for target in range(1, number + 1)]
    scene.declare("web", ports=ports)
    (planned,) = scene.plan().sandboxes
    assert len(planned.problems) == number
    assert planned.message == "; ".join(map(str, planned.problems[:5])) + more


@pytest.mark.parametrize(
    ("declared", "health", "cause"),
    [
        ({}, None, Reason.STARTING),
        ({}, Health.HEALTHY, Reason.STARTING),
        ({"restart": "no"}, Health.UNHEALTHY, Reason.UNHEALTHY),
        ({"suspend": "why"}, None, Reason.SUSPENDED),
    ],
)
def test_what_has_just_started_anew_is_starting_unless_there_is_more_to_say(
    declared: dict[str, str], health: Health | None, cause: Reason
) -> None:
    """What failed before counts as ready only after ten seconds."""
    scene = Scene()
    scene.declare("web", **declared)
    container = scene.container("web", health=health)
    scene.containers[0] = replace(container, inspection=replace(container.inspection, started_at=NOW - 4))
    scene.failed("web", Reason.EXIT_CODE, container, retry_in=-1)
    (planned,) = scene.plan().sandboxes
    assert (planned.cause, planned.ready_at) == (cause, NOW + 6)
    assert (planned.message == backoff.SETTLING) is (cause is Reason.STARTING)


OVER = {Reason.REMOVAL_BUDGET_EXCEEDED}


@pytest.mark.parametrize(
    ("running", "removed", "message"),
    [
        (4, {}, "4 removals, over the budget of 3; `reconciler approve` allows them"),
        (2, {"x": NOW - 1, "y": NOW + 1}, "2 removals after 2, over the budget of 3; `reconciler approve` allows them"),
        (3, {"x": NOW - 600}, ""),
        (3, {"x": NOW - 599}, "3 removals after 1, over the budget of 3; `reconciler approve` allows them"),
        (3, {"a": NOW - 1}, ""),
    ],
)
def test_how_many_removals_are_too_many_is_told(running: int, removed: dict[str, float], message: str) -> None:
    """Those within the window count, each once; one of a clock that was set back too."""
    scene = Scene(removed=removed)
    for name in "abcd"[:running]:
        scene.container(name)
    plans = scene.plan().sandboxes
    assert {planned.message for planned in plans if planned.cause in OVER} == ({message} if message else set())
    assert len([planned for planned in plans if planned.cause in OVER]) == (running if message else 0)
