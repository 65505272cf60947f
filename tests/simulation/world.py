"""A whole host in memory, on a clock of its own: what surrounds the controller in the simulation."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

from reconciler.control.dependencies import Dependencies
from reconciler.control.disk_meter import DiskMeter
from reconciler.control.settings import Settings
from reconciler.engine.docker import decode
from reconciler.engine.docker.encode import encode
from reconciler.engine.host import Protected
from reconciler.model.capabilities import ALL, Knob, SetBy
from reconciler.model.container import BindMount, ContainerSpec
from reconciler.model.desired import Declaration, Desired
from reconciler.model.errors import (
    DirectoryUnreadable,
    EngineRefused,
    EngineUnavailable,
    PolicyInvalid,
    Problem,
    Refusal,
    StateUnusable,
)
from reconciler.model.kernel import KernelFacts
from reconciler.model.status import Approval, ControllerStatus, JournalEntry, Request, SandboxStatus
from reconciler.model.world import UP, EngineFacts, Event, Inspection, Source
from reconciler.sources.directory import port_clashes
from reconciler.spec.policy import Policy
from reconciler.spec.sandbox import Sandbox
from tests.fake_engine import FakeEngine
from tests.simulation.story import PRIVATE_IMAGE

INSTANCE = "default"
FIT = EngineFacts("Docker", "20.10.24", "1.41", ALL)
WEAKER = replace(FIT, capabilities=ALL | {Knob.SWAP: SetBy.NOBODY})


class KilledError(BaseException):
    """The controller's process is gone, between two calls."""


class FakeClock:
    """`skew` is what somebody did to the wall clock."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.skew = 0.0

    def now(self) -> float:
        return 1_700_000_000 + self.elapsed + self.skew

    def ticked(self) -> float:
        """By the engine's clock no two things happen at the same time."""
        self.elapsed += 1e-5
        return self.now()

    def monotonic(self) -> float:
        return self.elapsed

    def worked(self) -> float:
        return 0.0


@dataclass
class FakeDirectory:
    """`files` holds None for a broken file; `strays` are names, each with a file that may be meant as it: `A.yaml`.

    What has not changed is the very same in each scan, as of the real one.
    """

    files: dict[str, Sandbox | None] = field(default_factory=dict)
    invalid_names: set[str] = field(default_factory=set)
    identity: int = 1
    readable: bool = True
    under_way: bool = False
    """Whether git is in the middle of something, and changes must wait."""
    believable: dict[int, Declaration] = field(default_factory=dict)
    """The declarations that were read while git was in the middle of nothing, by their id()."""
    _declared: dict[str, Declaration] = field(default_factory=dict)

    def scan(self) -> Desired:
        if not self.readable:
            raise DirectoryUnreadable("it cannot be read")
        whole = {name: self._declaration(name, sandbox) for name, sandbox in self.files.items() if sandbox is not None}
        clashes = port_clashes(whole.values())
        if not self.under_way:
            self.believable |= {id(declaration): declaration for declaration in whole.values()}
        broken = {name: (Problem(f"{name}.yaml", 1, 1, "it is broken"),) for name in self.files.keys() - whole.keys()}
        return Desired(
            directory=(1, self.identity),
            declared={name: declaration for name, declaration in whole.items() if name not in clashes},
            broken=broken | clashes,
            waits="a git merge is under way" if self.under_way else None,
            invalid_names={name: (Problem(f"{name.upper()}.yaml", 0, 0, "is no name"),) for name in self.invalid_names},
        )

    def is_believable(self, declaration: Declaration) -> bool:
        return id(declaration) in self.believable

    def _declaration(self, name: str, sandbox: Sandbox) -> Declaration:
        if name not in self._declared or self._declared[name].sandbox is not sandbox:
            self._declared[name] = Declaration(name, f"{name}.yaml", sandbox)
        return self._declared[name]


class FakeStore:
    """A state directory that outlives the controller. Each write is whole, as those of the real one are."""

    pin_file = Path("state/engine")

    def __init__(self) -> None:
        self._pinned = ""
        self._statuses: dict[str, SandboxStatus] = {}
        self._controller: ControllerStatus | None = None
        self._approved: frozenset[str] = frozenset()
        self._requests: dict[str, Request] = {}
        self.claimed = False

    def lose(self) -> None:
        self._statuses, self._controller, self._approved, self._pinned = {}, None, frozenset(), ""
        self._requests = {}

    def spoil(self, number: int) -> None:
        """One file becomes garbage, which the next controller sets aside."""
        names = sorted(self._statuses)
        if number < len(names):
            del self._statuses[names[number]]
        else:
            self._controller = None

    def lock(self) -> None:
        if self.claimed:
            raise StateUnusable("another controller uses it")
        self.claimed = True

    def release(self) -> None:
        self.claimed = False

    def pinned(self) -> str:
        return self._pinned

    def pin(self, engine: str) -> None:
        self._pinned = engine

    def controller(self) -> ControllerStatus | None:
        return self._controller

    def statuses(self) -> dict[str, SandboxStatus]:
        return dict(self._statuses)

    def approved(self) -> frozenset[str]:
        return self._approved

    def approve(self, approval: Approval) -> None:
        self._approved = frozenset(approval.containers)

    def spend_approval(self) -> None:
        self._approved = frozenset()

    def requests(self) -> dict[str, Request]:
        return dict(self._requests)

    def ask(self, name: str, request: Request) -> None:
        self._requests[name] = request

    def spend_request(self, name: str, request: Request) -> None:
        if self._requests.get(name) == request:
            del self._requests[name]

    def write_status(self, status: SandboxStatus) -> bool:
        self._statuses[status.name] = status
        return True

    def write_controller(self, status: ControllerStatus) -> None:
        self._controller = status

    def forget(self, name: str) -> bool:
        self._statuses.pop(name, None)
        return True


class FakeJournal:
    def __init__(self) -> None:
        self.entries: list[JournalEntry] = []

    def write(self, entry: JournalEntry) -> None:
        self.entries.append(entry)


SOURCE = "/srv/data"
SOURCES = {SOURCE: Source(SOURCE)}


def allowing(**said: Any) -> Policy:
    """A policy under which there is something to mount."""
    return Policy.model_validate({"volumes": [{"root": "/srv"}], **said})


class FakePaths:
    """The paths of the host, all links to `/` while they are exchanged; `strayed` are the containers that got that.

    `raised` are those of which the kernel has no limit of memory, whatever the engine says.
    """

    remote = None

    def __init__(self) -> None:
        self.are_exchanged = False
        self.strayed: set[str] = set()
        self.raised: set[str] = set()

    def protected(self, *_: object) -> Protected:
        return Protected()

    def examine(self, path: str, _: Protected) -> Source:
        return Source("/" if self.are_exchanged else path)

    def exchanged(self, container: str, _: int, volumes: tuple[BindMount, ...]) -> tuple[BindMount, ...]:
        return volumes if container in self.strayed else ()

    def kernel(self, container: str, inspection: Inspection) -> KernelFacts | None:
        if inspection.state not in UP or inspection.spec is None:
            return None
        return KernelFacts(inf if container in self.raised else inspection.spec.mem_limit or inf)

    def why_unfiltered(self, *_: object) -> None:
        return None


class FaultyEngine(FakeEngine):
    """Fails when it is told to: before a call takes effect, after it, so that the effect comes later, or in part.

    `fault` is for the call after `fuse` more; its events are kept until somebody delivers or loses them. `asked` are
    all calls with their arguments, whatever came of them. `created`, `inspected`, `before_start`, `after_start` and
    `died` are told of each container that this happens to.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(INSTANCE, clock)
        self.fault = ""
        self.fuse = 0
        self.late: list[Callable[[], object]] = []
        self.said: list[Event] = []
        self.asked: list[str] = []
        self.injected = 0
        self.belated = False
        self.missed: Callable[[], set[str]] = set
        """The containers that the controller would miss in a list."""
        self.created: Callable[[str], None] = _tell_nobody
        self.inspected: Callable[[str], None] = _tell_nobody
        self.before_start: Callable[[str], None] = _tell_nobody
        self.after_start: Callable[[str], None] = _tell_nobody
        self.died: Callable[[str], None] = _tell_nobody
        self.indescribable = ""
        self.paths = FakePaths()
        self.another = FakeEngine(INSTANCE, clock)
        self.another_answers = False
        """Whether `another`, where nothing is but images, is behind the address now."""

    def arm(self, fault: str, fuse: int) -> None:
        self.fault, self.fuse = fault, fuse

    def faulty(self, name: str, *arguments: Any) -> Any:
        if self.another_answers:
            return getattr(self.another, name)(*arguments)
        self.asked.append(json.dumps([name, *map(_plain, arguments)], sort_keys=True))

        def call() -> Any:
            return getattr(FakeEngine, name)(self, *arguments)

        self.fuse -= 1
        if not self.fault or self.fuse >= 0:
            return call()
        fault, self.fault = self.fault, ""
        self.injected += 1
        match fault:
            case "partial":
                return self._halved(call())
            case "kill before":
                raise KilledError
            case "kill after":
                call()
                raise KilledError
            case "lost call":
                raise EngineUnavailable("the call was lost")
            case "lost reply":
                call()
                raise EngineUnavailable("the reply was lost")
            case "late":
                self.late.append(call)
                raise EngineUnavailable("no answer in time")
        raise AssertionError(fault)

    def _halved(self, found: Any) -> Any:
        """A list without half of what the controller has seen; what it never saw, nobody could miss."""
        if not isinstance(found, tuple):
            return found
        missed = self.missed()
        hidden = {one.id for one in found[len(found) // 2 :] if one.id in missed}
        return tuple(one for one in found if one.id not in hidden)

    def happen_late(self) -> None:
        """What was given up takes effect after all, if it still can."""
        late, self.late = self.late, []
        self.belated = True
        for call in late:
            with suppress(Exception):  # nobody waits for the answer any more
                call()
        self.belated = False

    def identity(self) -> str:
        return "another engine" if self.another_answers else super().identity()

    def inspect(self, container: str) -> Inspection:
        found: Inspection = self.faulty("inspect", container)
        if container == self.indescribable:
            raise EngineRefused(Refusal.UNREADABLE, "its description has an unknown form")
        self.inspected(container)
        return found

    def _create(self, name: str, body: dict[str, Any]) -> str:
        container = super()._create(name, body)
        self.created(container)
        return container

    def _start(self, container: str) -> None:
        """The sources are looked up at each start."""
        if self._is_up(container):
            super()._start(container)
            return
        self.before_start(container)
        super()._start(container)
        self.paths.strayed.discard(container)
        self.paths.raised.discard(container)
        if self.paths.are_exchanged and self._get(container)["Mounts"]:
            self.paths.strayed.add(container)
        self.after_start(container)

    def _die(self, container: str, code: int, *, oom: bool = False) -> None:
        self.died(container)
        super()._die(container, code, oom=oom)

    def _publish(self, item: dict[str, Any]) -> None:
        if event := decode.event(item, self.instance):
            self.said.append(event)


def _tell_nobody(_container: str) -> None: ...


def _plain(argument: object) -> object:
    """The argument as the engine gets it; nothing of a function, which stays here."""
    match argument:
        case ContainerSpec():
            return encode(argument)
        case str() | int():
            return argument
    return None


def _may_fail(name: str) -> Callable[..., Any]:
    def call(engine: FaultyEngine, *arguments: Any) -> Any:
        return engine.faulty(name, *arguments)

    return call


READS = ("facts", "containers", "writable", "network", "image", "written", "volume_sizes")
CHANGES = ("create_network", "remove_network", "pull", "create", "start", "stop", "unpause", "rename", "remove")
for _name in READS + CHANGES:
    setattr(FaultyEngine, _name, _may_fail(_name))


class Unmeasured:
    """Counts nothing: nothing is decided by figures."""

    def done(self, *_: object) -> None: ...

    def changed(self, *_: object) -> None: ...

    def passed(self, *_: object) -> None: ...


class Deaf:
    """Writes down nothing of what sandboxes say: that decides nothing."""

    def follow(self, *_: object) -> None: ...

    def finish(self, *_: object) -> None: ...


@dataclass
class Host:
    """All that is there whether a controller runs or not."""

    clock: FakeClock = field(default_factory=FakeClock)
    directory: FakeDirectory = field(default_factory=FakeDirectory)
    store: FakeStore = field(default_factory=FakeStore)
    journal: FakeJournal = field(default_factory=FakeJournal)
    policy: Policy | None = field(default_factory=allowing)
    asked: int = 0

    def __post_init__(self) -> None:
        self.engine = FaultyEngine(self.clock.ticked)
        for reference in ("app:1", "app:2"):
            self.engine.add_image(reference)
            self.engine.another.add_image(reference)
        often = {"Test": ["CMD", "true"], "Interval": 1_000_000}
        self.engine.add_image("restless:1", Healthcheck=often)
        self.engine.registry = {"loud:1": {"Labels": {"a": "x" * 100_000}}, "volume:1": {"Volumes": {"/data": {}}}}
        self.engine.registry[PRIVATE_IMAGE] = {}
        self.engine.closed = {PRIVATE_IMAGE}
        self.credentials = 0
        self.seeds = 0

    def read_policy(self) -> Policy:
        if self.policy is None:
            raise PolicyInvalid((Problem("policy.yaml", 1, 1, "it is broken"),))
        return self.policy

    def dependencies(self) -> Dependencies:
        return Dependencies(
            settings=Settings(Path("sandboxes.d"), None, Path("state"), "tcp://simulated", INSTANCE, "simulated"),
            engine=self.engine,
            host=self.engine.paths,  # type: ignore[arg-type]
            read_policy=self.read_policy,
            scan=self.directory.scan,
            store=self.store,  # type: ignore[arg-type]
            journal=self.journal,  # type: ignore[arg-type]
            log_collector=Deaf(),  # type: ignore[arg-type]
            disk=DiskMeter(self.engine, lambda work: work()),
            metrics=Unmeasured(),  # type: ignore[arg-type]
            clock=self.clock,
            draw_seed=self._draw_seed,
            credentials=lambda: self.credentials,
            secret=f"of the controller after {self.seeds} passes".encode(),
            parallel_map=lambda work, things: [work(thing) for thing in things],
        )

    def _draw_seed(self) -> int:
        self.seeds += 1
        return self.seeds
