"""Builds what `decide` is given, in few words, for the tests."""

import re
from dataclasses import dataclass, field, replace
from typing import Any

from reconciler.engine.docker import decode
from reconciler.engine.docker.encode import encode
from reconciler.model.capabilities import ALL, Knob, SetBy
from reconciler.model.desired import Declaration, Desired, likenesses
from reconciler.model.errors import Problem
from reconciler.model.labels import Owner
from reconciler.model.plan import Plan, Reason
from reconciler.model.rendered import Rendered
from reconciler.model.status import (
    Ask,
    Attestation,
    Failure,
    PendingApproval,
    RecentRemovals,
    Request,
    SandboxStatus,
)
from reconciler.model.world import (
    UP,
    EngineFacts,
    Image,
    Inspection,
    Network,
    Observed,
    Source,
    State,
    Unmanaged,
    World,
)
from reconciler.planning.admission import effective
from reconciler.planning.asked import Answer, answers
from reconciler.planning.decide import decide
from reconciler.planning.fingerprint import EPOCH, salt_of
from reconciler.planning.memo import Memo
from reconciler.planning.render import render
from reconciler.planning.situation import Memory, Situation
from reconciler.planning.status_reducer import on_asked
from reconciler.spec.policy import Policy
from reconciler.spec.sandbox import Sandbox
from tests.fake_container import NEVER

NOW = 1_000_000.0
DIRECTORY = (1, 2)
IMAGE = "app:1"
BROUGHT: dict[str, Any] = {"environment": {"PATH": "/bin"}, "working_dir": "/"}
"""What each image brings along, by the fields of `Image`."""
SECRET = b"of this controller"


@dataclass
class Scene:
    """A directory, an engine and a memory at one moment: change what a test is about, then ask for the `plan`."""

    policy: Policy = field(default_factory=Policy)
    files: dict[str, Sandbox] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    last_good: dict[str, Sandbox] = field(default_factory=dict)
    invalid_names: set[str] = field(default_factory=set)
    containers: list[Observed] = field(default_factory=list)
    unmanaged: list[Unmanaged] = field(default_factory=list)
    statuses: dict[str, SandboxStatus] = field(default_factory=dict)
    network: Network | None = field(default_factory=lambda: Network("reconciler.default", "n" * 64))
    lacking: set[Knob] = field(default_factory=set)
    """What the engine cannot enforce."""
    complete: bool = True
    waits: str | None = None
    directory: tuple[int, int] = DIRECTORY
    known_directory: tuple[int, int] | None = DIRECTORY
    approved: set[str] = field(default_factory=set)
    pending_approval: PendingApproval | None = None
    removed: dict[str, float] = field(default_factory=dict)
    remembered_since: float = 0
    requests: dict[str, Request] = field(default_factory=dict)
    in_flight: set[str] = field(default_factory=set)
    replacing: set[str] = field(default_factory=set)
    pulling: dict[str, str] = field(default_factory=dict)
    """What those in flight pull."""
    seed: int | None = 0
    secret: bytes = SECRET
    images: set[str] = field(default_factory=lambda: {IMAGE})
    image_id: str = "sha256:0"
    brought: dict[str, Any] = field(default_factory=dict)
    """What all of them bring along, by the fields of `Image`."""
    sources: dict[str, Source] = field(default_factory=dict)

    def declare(self, name: str, **keys: Any) -> None:
        self.files[name] = Sandbox.model_validate({"image": IMAGE, **keys})

    def rendered(self, name: str, port: int, policy: Policy | None = None, **keys: Any) -> Rendered:
        sandbox = Sandbox.model_validate({"image": IMAGE, **keys})
        policy = policy or self.policy
        chosen = effective(sandbox, policy)
        ports = {one.target: one.published or port for one in chosen.ports}
        return render(name, chosen, policy, Owner("default"), ports, self.sources, salt_of(name, (), SECRET))

    def container(
        self,
        name: str,
        state: State = State.RUNNING,
        *,
        port: int = 61000,
        exit_code: int = 0,
        oom_killed: bool = False,
        health: Any = None,
        drift: dict[str, Any] | None = None,
        policy: Policy | None = None,
        created_at: float = NOW - 100,
        **keys: Any,
    ) -> Observed:
        """A container as the controller would have created it for `keys`, but for `drift` in its HostConfig."""
        rendered = self.rendered(name, port, policy, **keys)
        container = observed(
            rendered,
            f"{len(self.containers) + 1:x}" * 64,
            state,
            exit_code=exit_code,
            oom_killed=oom_killed,
            health=health,
            drift=drift,
            created_at=created_at,
        )
        self.containers.append(container)
        return container

    def remember(self, name: str, container: Observed | None = None, **fields: Any) -> None:
        """A status of the sandbox; with a container, attested under the policy."""
        if container is not None:
            fields = {
                "container_id": container.id,
                "fingerprint": container.fingerprint,
                "attested": Attestation(
                    at=NOW - 50,
                    ok=True,
                    container_id=container.id,
                    policy=self.policy.fingerprint,
                ),
                **fields,
            }
        known = {"epoch": EPOCH, "salted_with": self.rendered(name, 61000).salted_with}
        self.statuses[name] = SandboxStatus(name=name, **{**known, **fields})

    def stranger(self, sandbox: str, *, up: bool = False, source: str = "") -> None:
        """A container that stands for the sandbox and is not ours; `source` owns it, when another one does."""
        self.unmanaged.append(Unmanaged("f" * 64, "stranger", "it is odd", sandbox, up=up, source=source))

    def failed(
        self,
        name: str,
        reason: Any,
        container: Observed | None = None,
        *,
        failures: int = 1,
        retry_in: float = 10,
        **fields: Any,
    ) -> None:
        """A status whose last failure rests for `retry_in` seconds more."""
        failure = Failure(reason=reason, message="it failed", at=NOW - 1)
        of = self.rendered(name, 61000)
        fields = {"fingerprint": of.fingerprint, "public_fingerprint": of.public_fingerprint, **fields}
        self.remember(name, container, failure=failure, failures=failures, retry_at=NOW + retry_in, **fields)

    def wait_for_approval(self, container: Observed) -> None:
        """Its removal waits for approval, since a pass under the policy as it is now."""
        self.pending_approval = PendingApproval(
            reason=Reason.REMOVAL_BUDGET_EXCEEDED,
            containers={container.sandbox: (container.id,)},
            policy=self.policy.fingerprint,
        )

    def ask(self, name: str, what: str) -> None:
        self.requests[name] = Request(what=Ask(what), at=NOW)

    def answers(self) -> tuple[Answer, ...]:
        return answers(Situation(self.desired(), self.policy, self.world(), self.memory(), NOW, Memo()))

    def answer(self) -> list[str]:
        """The answers to all requests, of which those that are taken up are in the statuses then; their text."""
        found = self.answers()
        for request, told, refused in found:
            if not refused:
                before = self.statuses.get(told.sandbox) or SandboxStatus(name=told.sandbox)
                self.statuses[told.sandbox] = on_asked(before, request, NOW)
        return [f"{told.sandbox} {'refused' if refused else 'taken up'} {told.cause}" for _, told, refused in found]

    def plan(self) -> Plan:
        return decide(self.desired(), self.policy, self.world(), self.memory(), NOW)

    def lines(self) -> list[str]:
        """The plan's text, with the random parts of names cut off."""
        return [without_fingerprints(line) for line in str(self.plan()).splitlines()]

    def desired(self) -> Desired:
        return Desired(
            directory=self.directory,
            declared={name: Declaration(name, f"{name}.yaml", sandbox) for name, sandbox in self.files.items()},
            broken={name: (Problem(f"{name}.yaml", 1, 1, "it is broken"),) for name in self.broken},
            invalid_names={
                like: (Problem(f"{stem}.yaml", 0, 0, "is no name"),)
                for stem in self.invalid_names
                for like in likenesses(stem)
            },
            last_good={name: Declaration(name, f"{name}.yaml", one) for name, one in self.last_good.items()},
            complete=self.complete,
            waits=self.waits,
        )

    def world(self) -> World:
        return World(
            owner=Owner("default"),
            engine=EngineFacts("Docker", "20.10", "1.41", ALL | dict.fromkeys(self.lacking, SetBy.NOBODY)),
            network=self.network,
            containers=tuple(self.containers),
            unmanaged=tuple(self.unmanaged),
            images={one: Image(one, self.image_id, "", **(BROUGHT | self.brought)) for one in self.images},
            sources=self.sources,
        )

    def memory(self) -> Memory:
        return Memory(
            statuses=self.statuses,
            secret=self.secret,
            directory=self.known_directory,
            approved=frozenset(self.approved),
            pending_approval=self.pending_approval,
            recent=RecentRemovals(since=self.remembered_since, removed=self.removed),
            requests=self.requests,
            in_flight=frozenset(self.in_flight | self.pulling.keys()),
            pulling=self.pulling,
            replacing=frozenset(self.replacing),
            seed=self.seed,
        )


def observed(
    rendered: Rendered,
    container: str,
    state: State,
    *,
    exit_code: int = 0,
    oom_killed: bool = False,
    health: Any = None,
    drift: dict[str, Any] | None = None,
    created_at: float = NOW - 100,
) -> Observed:
    raw = readback(rendered, state, drift or {})
    inspection = replace(
        read(raw),
        health=health,
        exit_code=exit_code,
        oom_killed=oom_killed,
        started_at=0 if state is State.CREATED else NOW - 60,
        finished_at=NOW - 5 if state is State.EXITED else 0,
    )
    return Observed(
        id=container,
        name=rendered.name,
        sandbox=rendered.sandbox,
        fingerprint=rendered.fingerprint,
        ports=rendered.ports,
        state=state,
        health=health,
        created_at=created_at,
        inspection=inspection,
        inspected_at=NOW - 1,
    )


def readback(rendered: Rendered, state: State, drift: dict[str, Any]) -> dict[str, Any]:
    """What an engine answers for the container when it is inspected."""
    body = encode(rendered.spec)
    host = body.pop("HostConfig")
    hidden = {"MaskedPaths": ["/proc/kcore"], "ReadonlyPaths": ["/proc/sys"]}
    return {
        "Image": "sha256:0",
        "State": {"Status": state, "ExitCode": 0, "OOMKilled": False, "StartedAt": NEVER, "FinishedAt": NEVER},
        "Config": {**body, "Env": [*body["Env"], "PATH=/bin"]},
        "HostConfig": {**host, **hidden, **drift},
        "NetworkSettings": {
            "Networks": {host["NetworkMode"]: {}},
            "Ports": host["PortBindings"] if state in UP else {},
        },
        "Mounts": [
            {"Type": "bind", "Source": mount.source, "Destination": mount.target, "RW": not mount.read_only}
            for mount in rendered.spec.volumes
        ],
    }


def read(raw: dict[str, Any]) -> Inspection:
    """What is made of such an answer."""
    return decode.inspection(raw)


def up_to(limit: int) -> Policy:
    return Policy(sandboxes_max=limit)


def without_fingerprints(line: str) -> str:
    return re.sub(r"(reconciler\.default\.[a-z0-9-]+)\.[0-9a-f]{8}", r"\1", line)
