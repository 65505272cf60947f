"""All checks, in the order in which people read them."""

from collections.abc import Callable, Iterator, Mapping

from reconciler.doctor import disk, engine, files, kernel, network
from reconciler.doctor.finding import Finding
from reconciler.doctor.host import Host, Unknown
from reconciler.model.world import EngineHealth

Check = Callable[[Host], Iterator[Finding]]


def _if_known(check: Callable[[Host, EngineHealth], Iterator[Finding]]) -> Check:
    """The check of an engine, which finds nothing where none answers."""
    return lambda host: iter(()) if isinstance(host.engine, Unknown) else check(host, host.engine)


CHECKS: Mapping[str, tuple[Check, ...]] = {
    "Engine": (
        *(engine.answers, _if_known(engine.version), engine.socket, engine.elsewhere),
        *map(_if_known, (engine.pinned, engine.live_restore, engine.lingering, engine.clock, engine.warnings)),
    ),
    "Kernel": (
        *map(_if_known, (kernel.seccomp, kernel.mandatory_access, kernel.limits, kernel.cgroups)),
        *(_if_known(kernel.user_namespaces), kernel.inotify),
    ),
    "Network": (*map(_if_known, (network.bridge, network.firewall)), network.ports),
    "Disk": (_if_known(disk.engine_room), disk.state_room, _if_known(disk.quota)),
    "Files": (files.directory, files.watching, files.policy, files.state),
}


def examine(host: Host) -> Mapping[str, tuple[Finding, ...]]:
    """The findings of each group; a group that finds nothing is left out."""
    found = {group: tuple(finding for check in checks for finding in check(host)) for group, checks in CHECKS.items()}
    return {group: findings for group, findings in found.items() if findings}
