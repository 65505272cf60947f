"""All checks, in the order in which people read them."""

from collections.abc import Callable, Iterator, Mapping

from reconciler.doctor import disk, engine, files, kernel, network
from reconciler.doctor.finding import Finding
from reconciler.doctor.host import Host

Check = Callable[[Host], Iterator[Finding]]

CHECKS: Mapping[str, tuple[Check, ...]] = {
    "Engine": (
        *(engine.answers, engine.version, engine.socket, engine.elsewhere, engine.live_restore, engine.clock),
        engine.warnings,
    ),
    "Kernel": (
        *(kernel.seccomp, kernel.mandatory_access, kernel.limits, kernel.cgroups, kernel.user_namespaces),
        kernel.inotify,
    ),
    "Network": (network.bridge, network.firewall, network.ports),
    "Disk": (disk.engine_room, disk.state_room, disk.quota),
    "Files": (files.directory, files.watching, files.policy, files.state),
}


def examine(host: Host) -> Mapping[str, tuple[Finding, ...]]:
    """The findings of each group; a group that finds nothing is left out."""
    found = {group: tuple(finding for check in checks for finding in check(host)) for group, checks in CHECKS.items()}
    return {group: findings for group, findings in found.items() if findings}
