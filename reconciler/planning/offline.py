"""The plan that follows from saved statuses, where there is no engine: by the same decisions, over a rebuilt world."""

from collections.abc import Iterator
from dataclasses import replace

from reconciler.model.capabilities import ALL
from reconciler.model.desired import Desired
from reconciler.model.labels import Owner, network_name, sandbox_of
from reconciler.model.plan import Plan, Reason, SandboxPlan
from reconciler.model.rendered import Rendered
from reconciler.model.status import SandboxStatus, Saved
from reconciler.model.world import EngineFacts, Image, Inspection, Network, Observed, Source, State, Unmanaged, World
from reconciler.planning.admission import effective
from reconciler.planning.decide import decide
from reconciler.planning.fingerprint import is_about, salt_of
from reconciler.planning.render import render
from reconciler.planning.situation import Memory
from reconciler.spec.policy import Policy

UNSEEN = "values of environment are not compared, as no status has them"


def plan_from(saved: Saved, desired: Desired, policy: Policy, secret: bytes, now: float) -> Plan:
    """What the controller that wrote `saved` would do, were these its files and its policy.

    It takes for granted what no status says: that the engine is fit for what has not been refused, that nobody has
    touched a container since, that the paths of volumes are no links, and that values of `environment` are the same.
    `secret` is as in a `Memory`, `now` in seconds since the epoch.
    """
    up, empty = saved.controller.slots_used_by, _world(saved, desired, policy)
    there = [status for status in saved.sandboxes if status.container_id or status.name in up]
    containers = [
        _container(status, _rendered(status, desired, policy, empty, secret), up=status.name in up) for status in there
    ]
    statuses = {status.name: status for status in saved.sandboxes}
    world = replace(empty, containers=tuple(containers))
    memory = Memory(
        statuses,
        secret,
        desired.directory,
        pending_approval=saved.controller.pending_approval,
        recent=saved.controller.removals,
        seed=None,
    )
    plan = decide(desired, policy, world, memory, now)
    valued = any(planned.rendered.spec.environment for planned in plan.sandboxes if planned.rendered)
    plans = tuple(_as_told(planned, saved) for planned in plan.sandboxes)
    return replace(plan, sandboxes=plans, unseen=UNSEEN if valued else "")


def _as_told(planned: SandboxPlan, saved: Saved) -> SandboxPlan:
    """The plan with the sentence that was saved for its cause, where only an engine can give one."""
    told = {status.name: status.message for status in saved.sandboxes if status.reason is planned.cause}
    if planned.cause in {Reason.ENGINE_UNFIT, Reason.NETWORK_UNFIT}:  # one engine, one network, one sentence
        return replace(planned, message=next(iter(told.values())))
    if planned.cause in {Reason.OWNED_BY_ANOTHER, Reason.UNMANAGED} and planned.sandbox in told:
        return replace(planned, message=told[planned.sandbox])
    return planned


def _rendered(status: SandboxStatus, desired: Desired, policy: Policy, world: World, secret: bytes) -> Rendered | None:
    """What the sandbox's file asks for, with the ports that it has."""
    if status.name not in desired.declared:
        return None
    sandbox = effective(desired.declared[status.name].sandbox, policy)
    ports = {port.target: port.published or status.ports.get(port.target, 0) for port in sandbox.ports}
    return render(status.name, sandbox, policy, world.owner, ports, world.sources, salt_of(status.name, (), secret))


def _world(saved: Saved, desired: Desired, policy: Policy) -> World:
    """Without its containers."""
    owner = Owner(saved.controller.instance, saved.controller.source)
    sandboxes = [policy.defaults, *(declaration.sandbox for declaration in desired.declared.values())]
    reasons = {status.reason for status in saved.sandboxes}
    paths = [volume.source for sandbox in sandboxes for volume in sandbox.volumes]
    return World(
        owner=owner,
        engine=EngineFacts(
            name="", version="", api_version="", capabilities={} if Reason.ENGINE_UNFIT in reasons else ALL
        ),
        network=Network(
            network_name(owner.instance), "", why_unfit="unfit" if Reason.NETWORK_UNFIT in reasons else None
        ),
        unmanaged=tuple(_unmanaged(saved)),
        images={status.image: Image(status.image, status.image_id, status.digest) for status in saved.sandboxes},
        sources={path: Source(path) for path in (*paths, *(root.root for root in policy.volumes))},
    )


def _unmanaged(saved: Saved) -> Iterator[Unmanaged]:
    """What kept sandboxes out, and then what used a slot, which may be the same."""
    for status in saved.sandboxes:
        if status.reason in {Reason.OWNED_BY_ANOTHER, Reason.UNMANAGED}:
            owner = "another" if status.reason is Reason.OWNED_BY_ANOTHER else None
            yield Unmanaged("", "", "", status.name, source=owner)
    for name in saved.controller.slots_used_by_unmanaged:
        yield Unmanaged("", name, "it is not ours", sandbox_of(name) or name, up=True)


def _container(status: SandboxStatus, rendered: Rendered | None, *, up: bool) -> Observed:
    """The sandbox's container; what is rendered now, when it was made from the same."""
    state = State.RUNNING if up else State.EXITED if status.started_at else State.CREATED
    claims = status.container_name.endswith(f".{status.fingerprint[:8]}")
    name, fingerprint = status.container_name, ""
    if rendered is not None and claims and is_about(status, rendered):
        name, fingerprint = rendered.name, rendered.fingerprint
    same = rendered is not None and (rendered.fingerprint, rendered.ports) == (fingerprint, status.ports)
    inspection = Inspection(
        state=state,
        health=None,
        health_output="",
        exit_code=status.exit_code or 0,
        oom_killed=status.oom_killed,
        error="",
        started_at=status.started_at,
        finished_at=status.exited_at,
        image_id=status.image_id,
        spec=rendered.spec if rendered is not None and same else None,
        networks={rendered.spec.network_mode: ""} if rendered is not None else {},
        published=rendered.spec.ports if rendered is not None else (),
    )
    return Observed(
        id=status.container_id or status.name,
        name=name,
        sandbox=status.name,
        fingerprint=fingerprint,
        ports=status.ports,
        state=state,
        health=None,
        created_at=status.started_at,
        inspection=inspection,
        inspected_at=status.updated_at,
    )
