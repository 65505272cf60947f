"""Which host port each container port is published on."""

import hashlib
from collections.abc import Mapping

from reconciler.model.plan import Reason
from reconciler.model.status import SandboxStatus
from reconciler.model.world import World
from reconciler.spec.sandbox import Sandbox

RANDOM_PORTS = range(61000, 65536)
"""Above the ports that Linux gives to outgoing connections (32768 to 60999), so that those never take ours."""


def allocate_ports(
    wanted: Mapping[str, Sandbox],
    world: World,
    statuses: Mapping[str, SandboxStatus],
    published: range,
    seed: int | None,
) -> dict[str, dict[int, int]]:
    """Host ports by sandbox and container port, all of them `published` by leave of the policy.

    A port is kept from the sandbox's container, else from its last status; one that another program turned out to have
    is given up, and so is one that another file fixes, unless the container runs: no file moves its neighbour. A new
    one is a random port that nobody here has; another `seed` draws others. Without a seed it is 0, for none.
    """
    kept = {name: _kept(name, world, statuses) for name in wanted}
    fixed = {port.published for sandbox in wanted.values() for port in sandbox.ports if port.published}
    used = fixed | {port for ports in kept.values() for port in ports.values()}
    used |= {port for container in world.containers for port in container.ports.values()}
    drawn_from = _drawn_from(published)
    free = set(drawn_from) - used
    allocated: dict[str, dict[int, int]] = {}
    for name, sandbox in wanted.items():
        allocated[name] = {}
        running = any(container.up for container in world.of(name))
        for port in sandbox.ports:
            mine = kept[name].get(port.target, 0)
            keeps = mine in published and (running or mine not in fixed)
            chosen = port.published or (mine if keeps else 0)
            if not chosen and seed is not None:
                chosen = _draw(f"{seed} {name} {port.target}", drawn_from, free)
                free.discard(chosen)
            allocated[name][port.target] = chosen
    return allocated


def _drawn_from(published: range) -> range:
    """What nobody has chosen stays among the random ports, unless the policy allows none of them."""
    allowed = range(max(published.start, RANDOM_PORTS.start), min(published.stop, RANDOM_PORTS.stop))
    return allowed or published


def _draw(seed: str, ports: range, free: set[int]) -> int:
    """Where none is free, one that is in use: the engine's refusal then explains it."""
    if not free:
        return ports[0]
    first = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "big")
    candidates = (ports[(first + step) % len(ports)] for step in range(len(ports)))
    return next(port for port in candidates if port in free)


def _kept(name: str, world: World, statuses: Mapping[str, SandboxStatus]) -> Mapping[int, int]:
    newest = max(world.of(name), key=lambda container: (container.up, container.created_at), default=None)
    status = statuses.get(name)
    taken = status is not None and status.failure is not None and status.failure.reason is Reason.PORT_TAKEN
    if newest is not None and (newest.up or not taken):
        return newest.ports
    return status.ports if status is not None and not taken else {}
