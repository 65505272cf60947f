"""The plan that follows from saved statuses, where there is no engine: by the same decisions, over a rebuilt world."""

from collections.abc import Mapping

from reconciler.model.desired import Desired
from reconciler.model.labels import Owner, network_name
from reconciler.model.plan import Plan, Reason
from reconciler.model.policy import Policy
from reconciler.model.rendered import Rendered
from reconciler.model.status import SandboxStatus, Saved
from reconciler.model.world import EngineFacts, Image, Inspection, Network, Observed, Source, State, World
from reconciler.planning.decide import Memory, decide


def plan_from(saved: Saved, desired: Desired, policy: Policy, now: float) -> Plan:
    """What the controller that wrote `saved` would do, were these its files and its policy.

    It takes for granted what no status says: that the engine is fit, that nobody has touched a container since, and
    that the paths of volumes are no links. `now` is in seconds since the epoch.
    """
    renderings = _plan(saved, desired, policy, now, {})
    rendered = {lane.sandbox: lane.rendered for lane in renderings.lanes if lane.rendered}
    return _plan(saved, desired, policy, now, rendered)


def _plan(saved: Saved, desired: Desired, policy: Policy, now: float, rendered: Mapping[str, Rendered]) -> Plan:
    up = saved.controller.limit_held_by
    there = [status for status in saved.sandboxes if status.container_id or status.name in up]
    containers = {status.name: _container(status, status.name in up, rendered.get(status.name)) for status in there}
    statuses = {status.name: _untouched(status, containers.get(status.name)) for status in saved.sandboxes}
    world = _world(saved, desired, policy, tuple(containers.values()))
    return decide(desired, policy, world, Memory(statuses, desired.directory, seed=None), now)


def _world(saved: Saved, desired: Desired, policy: Policy, containers: tuple[Observed, ...]) -> World:
    owner = Owner(saved.controller.instance, saved.controller.source)
    sandboxes = [policy.defaults, *(declaration.sandbox for declaration in desired.declared.values())]
    paths = [volume.source for sandbox in sandboxes for volume in sandbox.volumes]
    return World(
        owner=owner,
        engine=EngineFacts(
            name="",
            version="",
            api_version="",
            seccomp=all(status.reason is not Reason.SECCOMP_MISSING for status in saved.sandboxes),
            runtimes=(),
        ),
        network=Network(network_name(owner.instance), ""),
        containers=containers,
        images={status.image: Image(status.image, status.image_id, status.digest) for status in saved.sandboxes},
        sources={path: Source(path) for path in (*paths, *(root.root for root in policy.volumes))},
    )


def _container(status: SandboxStatus, up: bool, rendered: Rendered | None) -> Observed:
    """The sandbox's container; as rendered when it was made from the same."""
    state = State.RUNNING if up else State.EXITED if status.started_at else State.CREATED
    claims = bool(status.fingerprint) and status.container_name.endswith(f".{status.fingerprint[:8]}")
    fingerprint = status.fingerprint if claims else ""
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
        name=status.container_name,
        sandbox=status.name,
        fingerprint=fingerprint,
        ports=status.ports,
        state=state,
        health=None,
        created_at=status.started_at,
        inspection=inspection,
        inspected_at=status.updated_at,
    )


def _untouched(status: SandboxStatus, container: Observed | None) -> SandboxStatus:
    """The status, its attestation about the container that was rebuilt from it."""
    if status.attested is None or container is None:
        return status
    attested = status.attested.model_copy(update={"evidence": container.inspection.evidence})
    return status.model_copy(update={"attested": attested})
