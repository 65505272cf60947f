"""From an accepted sandbox to the whole container: the security policy, knob by knob.

What a sandbox can choose is set here; everything else has the default of `ContainerSpec`, which is the security floor.
Nothing from YAML is passed through: what is not named here cannot be said.
"""

from collections.abc import Mapping
from dataclasses import replace

from reconciler.model import labels
from reconciler.model.container import (
    TMPFS_OPTIONS,
    BindMount,
    ContainerSpec,
    HealthcheckSpec,
    PublishedPort,
    TmpfsMount,
)
from reconciler.model.labels import Owner
from reconciler.model.rendered import Rendered
from reconciler.model.world import Source
from reconciler.planning.fingerprint import fingerprints
from reconciler.spec.policy import Policy
from reconciler.spec.sandbox import Healthcheck, Sandbox


def render(
    name: str,
    sandbox: Sandbox,
    policy: Policy,
    owner: Owner,
    ports: Mapping[int, int],
    sources: Mapping[str, Source],
    salt: str,
) -> Rendered:
    """The container for an effective sandbox; `ports` maps container ports to host ports.

    The fingerprints cover all of it but what may differ between two containers that are equally right: randomly chosen
    host ports.
    """
    fixed = {port.target: port.published or 0 for port in sandbox.ports}
    own = {labels.INSTANCE: owner.instance, labels.SOURCE: owner.source, labels.SANDBOX: name}
    named = {**sandbox.labels, **policy.labels, **own}
    spec = ContainerSpec(
        image=sandbox.image,
        user=sandbox.user,
        command=sandbox.command,
        entrypoint=sandbox.entrypoint,
        working_dir=sandbox.working_dir,
        hostname=sandbox.hostname,
        stop_signal=sandbox.stop_signal,
        environment=sandbox.environment,
        labels=named,
        healthcheck=_healthcheck(sandbox.healthcheck) if sandbox.healthcheck else None,
        stop_grace_period=sandbox.stop_grace_period,
        mem_limit=sandbox.mem_limit,
        memswap_limit=sandbox.mem_limit,
        cpus=sandbox.cpus,
        pids_limit=sandbox.pids_limit,
        network_mode=sandbox.network_mode or labels.network_name(owner.instance),
        ports=_published(fixed),
        read_only=sandbox.read_only,
        tmpfs=_tmpfs(sandbox),
        volumes=tuple(BindMount(sources[one.source].real, one.target, one.read_only) for one in sandbox.volumes),
        runtime=policy.runtime,
    )
    found = fingerprints(spec, salt)
    made = {labels.FINGERPRINT: found.salted, labels.SALT: salt, labels.PORTS: labels.ports_label(ports)}
    return Rendered(
        sandbox=name,
        name=labels.container_name(owner.instance, name, found.salted),
        fingerprint=found.salted,
        public_fingerprint=found.public,
        salted_with=found.salted_with,
        ports=dict(ports),
        policy=policy.fingerprint,
        spec=replace(spec, labels=named | made, ports=_published(ports)),
        require_kernel_facts=policy.require_kernel_facts,
    )


def _published(ports: Mapping[int, int]) -> tuple[PublishedPort, ...]:
    return tuple(PublishedPort(target, published) for target, published in sorted(ports.items()))


def _tmpfs(sandbox: Sandbox) -> tuple[TmpfsMount, ...]:
    """Without an owner, it would be of whoever the image's directory at that place is: mostly of root."""
    owner = f"uid={sandbox.uid}", f"gid={sandbox.gid}"
    return tuple(
        TmpfsMount(mount.target, mount.size, (*TMPFS_OPTIONS, *owner, f"mode={mount.mode}"))
        for mount in sorted(sandbox.tmpfs, key=lambda one: one.target)
    )


def _healthcheck(check: Healthcheck) -> HealthcheckSpec:
    return HealthcheckSpec(
        check.test, check.interval, check.timeout, check.start_period, check.retries, check.start_interval or 0
    )
