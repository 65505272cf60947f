"""What can happen in a story: what people, the engine and strangers do."""

from reconciler.control.controller import Controller
from reconciler.control.messages import EngineEvent, LogRateExceeded, Notice
from reconciler.engine.docker.decode import NO_TRAFFIC_BETWEEN, epoch
from reconciler.model.status import Approval, Ask, Request
from reconciler.spec.sandbox import Sandbox
from reconciler.spec.units import GIB
from tests.simulation.story import DRIFTS, POLICIES, PRIVATE_IMAGE, SELDOM, VARIANTS
from tests.simulation.witness import LABEL, OTHERS, Raw, Witness
from tests.simulation.world import FIT, WEAKER, Host, allowing


class Steps:
    """Steps are methods; what a step needs and is not there makes it do nothing, so that stories can be cut."""

    host: Host
    witness: Witness
    controller: Controller

    # --- people --------------------------------------------------------------------------------------------------

    def declare(self, name: str, variant: str) -> None:
        self.host.directory.files[name] = Sandbox.model_validate(
            {"image": "app:1", "environment": {"PIN": "1"}, **(VARIANTS | SELDOM)[variant]}
        )
        self._files_changed()

    def spoil(self, name: str) -> None:
        """The file is there, and nobody can make sense of it."""
        self.host.directory.files[name] = None
        self._files_changed()

    def delete(self, name: str) -> None:
        if name not in self.host.directory.files:
            self.host.directory.invalid_names.discard(name)
        self.host.directory.files.pop(name, None)
        self._files_changed()

    def rename(self, name: str, other: str) -> None:
        if name in self.host.directory.files:
            self.host.directory.files[other] = self.host.directory.files.pop(name)
        self._files_changed()

    def misname(self, name: str) -> None:
        """The file gets a name that no sandbox can have."""
        if name in self.host.directory.files:
            del self.host.directory.files[name]
            self.host.directory.invalid_names.add(name)
        self._files_changed()

    def empty(self) -> None:
        self.host.directory.files.clear()
        self.host.directory.invalid_names.clear()
        self._files_changed()

    def replace_directory(self) -> None:
        self.host.directory.identity += 1
        self.empty()

    def hide_directory(self, readable: bool) -> None:
        self.host.directory.readable = readable
        self._files_changed()

    def git(self, under_way: bool) -> None:
        """Somebody begins, or ends, a merge."""
        self.host.directory.under_way = under_way
        self._files_changed()

    def decree(self, policy: str) -> None:
        said = POLICIES[policy]
        self.host.policy = None if said is None else allowing(**said)
        self._files_changed()

    def approve(self) -> None:
        status = self.host.store.controller()
        if status and status.pending_approval:
            ids = tuple(id_ for found in status.pending_approval.containers.values() for id_ in found)
            self.host.store.approve(Approval(containers=ids, at=0))
            self._files_changed()

    def log_in(self, done: bool) -> None:
        """Whoever has the file of credentials writes another one into its place."""
        self.host.engine.closed = set() if done else {PRIVATE_IMAGE}
        self.host.credentials += 1
        self.witness.credentials_changed()
        self._files_changed()

    def ask(self, what: str, name: str) -> None:
        """Somebody wants a sandbox to be restarted, retried or taken down."""
        self.host.asked += 1  # no two at the same time
        self.witness.unanswered.add(name)
        self.host.store.ask(name, Request(what=Ask(what), at=self.host.asked))
        self._files_changed()

    def resync(self) -> None:
        self.controller.tell(Notice.RESYNC_ASKED)

    def set_clock(self, seconds: float) -> None:
        self.host.clock.skew += seconds
        self.witness.jumped = True

    def _files_changed(self) -> None:
        self.controller.tell(Notice.FILES_CHANGED)

    # --- the engine and its containers ---------------------------------------------------------------------------

    def fault(self, fault: str, fuse: int) -> None:
        self.host.engine.arm(fault, fuse)

    def engine(self, state: str) -> None:
        """It goes, or comes back; it may come back `weaker`, without something that the floor asks for."""
        self.host.engine.down = "connection refused" if state == "down" else None
        if state != "down":
            self.host.engine.about = WEAKER if state == "weaker" else FIT
            self.controller.tell(Notice.ENGINE_CONNECTED)

    def another_engine(self, answers: bool) -> None:
        """Another engine is behind the address from now on, or the first one again; nobody tells.

        As long as none is pinned, the first one that is seen is right.
        """
        self.host.engine.another_answers = answers and bool(self.host.store.pinned())

    def happen_late(self) -> None:
        self.host.engine.happen_late()

    def mistake(self, number: int) -> None:
        """The engine cannot describe one of our containers; with a negative number it can describe all of them."""
        self.host.engine.indescribable = self.witness.pick(number) if number >= 0 else ""

    def hear(self) -> None:
        for event in self.host.engine.said:
            self.controller.tell(EngineEvent(event))
        self.host.engine.said.clear()

    def deaf(self) -> None:
        self.host.engine.said.clear()

    def wait(self, seconds: float) -> None:
        self.host.clock.elapsed += seconds

    def exit(self, number: int, code: int, oom: bool) -> None:
        if container := self.witness.pick(number, "running"):
            self.host.engine.exit(container, code, oom=oom)
            self.witness.ended_itself.add(container)

    def chatter(self, number: int) -> None:
        """It says so much that the controller is told, again and again."""
        if container := self.witness.pick(number, "running"):
            self.witness.over_log_rate.add(container)
            self._tell_of_noise()

    def _tell_of_noise(self) -> None:
        """Whoever is not known yet is not listened to."""
        sandbox_of = self.witness.seen
        for container in sorted(self.witness.over_log_rate & sandbox_of.keys()):
            at = max(self.host.clock.now(), epoch(self._raw(container)["State"]["StartedAt"]))
            self.controller.tell(LogRateExceeded(sandbox_of[container], container, at))

    def fill(self, number: int, size_gib: int) -> None:
        if container := self.witness.pick(number, "running"):
            self.host.engine.fill(container, size_gib * GIB)

    def health(self, number: int, health: str) -> None:
        if (container := self.witness.pick(number, "running")) and "Health" in self._raw(container)["State"]:
            self.host.engine.set_health(container, health)

    def sicken(self, name: str) -> None:
        """Its health check fails, and goes on to fail."""
        for raw in self.witness.up_of(name):
            if "Health" in raw["State"]:
                self.host.engine.set_health(raw["Id"], "unhealthy")

    def _raw(self, container: str) -> Raw:
        return self.witness.containers[container]

    # --- strangers -----------------------------------------------------------------------------------------------

    def drift(self, number: int, drift: int) -> None:
        if container := self.witness.pick(number):
            self.host.engine.update(container, **DRIFTS[drift])
            self.witness.drifted.add(container)

    def pause(self, number: int) -> None:
        if container := self.witness.pick(number, "running"):
            self.host.engine.pause(container)

    def remove_by_force(self, number: int) -> None:
        if container := self.witness.pick(number):
            self.host.engine.remove_by_force(container)

    def give_name(self, number: int) -> None:
        """Somebody renames one of ours."""
        if (container := self.witness.pick(number)) and self._is_free(f"renamed-{number}"):
            self.host.engine.give_name(container, f"renamed-{number}")

    def stranger(self, number: int) -> None:
        """Somebody runs a container with our labels, under a name of their own."""
        labels = {"reconciler.instance": "default", LABEL: "abcdefg"[number % 7], "reconciler.fingerprint": "0" * 64}
        if self._is_free(f"stranger-{number}"):
            self.host.engine.run_foreign(f"stranger-{number}", "app:1", Labels=labels)

    def other_source(self, number: int) -> None:
        """A controller of another directory, somewhere else, has started a sandbox under the same instance."""
        sandbox = "abcdefg"[number % 7]
        name = f"reconciler.default.{sandbox}.{OTHERS}"
        own = {"instance": "default", "sandbox": sandbox, "fingerprint": OTHERS * 8, "source": "another", "ports": ""}
        if self._is_free(name):
            labels = {f"reconciler.{key}": value for key, value in own.items()}
            self.host.engine.run_foreign(name, "app:1", Labels=labels)

    def _is_free(self, name: str) -> bool:
        return all(raw["Name"] != f"/{name}" for raw in self.witness.containers.values())

    def exchange(self, done: bool) -> None:
        """Whoever can write above the sources of volumes puts a link in their place, or takes it away; nobody tells."""
        self.host.engine.paths.are_exchanged = done

    def raise_limit(self, number: int) -> None:
        """Whoever is root on the host lifts the limit of memory in the cgroup of one of ours; nobody tells."""
        if container := self.witness.pick(number, "running"):
            self.host.engine.paths.raised.add(container)

    def second_network(self) -> None:
        """What an engine may make of a request that it gets twice at the same time."""
        if self.host.engine.raw_networks:
            labels = {"reconciler.instance": "default"}
            self.host.engine.add_network("reconciler.default", options=dict(NO_TRAFFIC_BETWEEN), own_labels=labels)
