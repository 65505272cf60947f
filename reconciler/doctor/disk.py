"""Checks of the disks: how much is free, and whether one sandbox can use up all of it."""

from collections.abc import Iterator

from reconciler.doctor.finding import Finding, error, ok, unchecked, warning
from reconciler.doctor.host import Host, Room, Unknown
from reconciler.model.world import EngineHealth

MIB = 1024**2
GIB = 1024**3

ENGINE_BYTES = (1 * GIB, 5 * GIB)
STATE_BYTES = (10 * MIB, 100 * MIB)
"""Less than the first is an error, less than the second a warning."""
INODES = (1_000, 50_000)

QUOTA_DRIVERS = {"btrfs", "zfs", "devicemapper", "windowsfilter"}


def engine_room(host: Host, _: EngineHealth) -> Iterator[Finding]:
    """Room for images and containers."""
    why = "On a full disk no image can be pulled and no sandbox started."
    remedy = f"{host.docker} system df", f"{host.docker} image prune"
    yield _judged("engine's disk", host.engine_room, ENGINE_BYTES, why, *remedy)


def state_room(host: Host) -> Iterator[Finding]:
    """Room for the status files."""
    why = "On a full disk the status files are out of date."
    yield _judged("state's disk", host.state_room, STATE_BYTES, why, "sudo du -xh / | sort -h | tail -n 20")


def _judged(check: str, room: Room | Unknown, least: tuple[int, int], why: str, *remedy: str) -> Finding:
    if isinstance(room, Unknown):
        return unchecked(check, room.why)
    inodes = INODES[1] if room.inodes is None else room.inodes
    text = f"{_size(room.bytes)} free" + (f", {inodes} inodes left" if inodes < INODES[1] else "")
    if room.bytes < least[0] or inodes < INODES[0]:
        return error(check, text, why, *remedy)
    if room.bytes < least[1] or inodes < INODES[1]:
        return warning(check, text, why, *remedy)
    return ok(check, text)


def _size(count: int) -> str:
    return f"{count / GIB:.0f} GiB" if count >= 10 * GIB else f"{count / MIB:.0f} MiB"


def quota(host: Host, engine: EngineHealth) -> Iterator[Finding]:
    """Whether the storage driver can limit what a container writes."""
    driver, xfs = engine.storage_driver, engine.file_system == "xfs"
    why = "One sandbox can fill the disk that the engine and its neighbours write to."
    bound = "the size of each container can be limited"
    if driver in QUOTA_DRIVERS:
        yield ok("disk quota", f"{driver}: {bound}")
    elif driver == "overlay2" and isinstance(host.engine_mount, Unknown):
        yield unchecked("disk quota", host.engine_mount.why)
    elif driver == "overlay2" and xfs and {"prjquota", "pquota"} & _options(host):
        yield ok("disk quota", f"overlay2 on xfs with pquota: {bound}")
    elif driver == "overlay2" and xfs:
        remedy = "# add pquota to its options in /etc/fstab, and mount it again"
        yield warning("disk quota", "overlay2 on xfs without pquota", why, remedy)
    else:
        remedy = f"# put {engine.facts.data} on xfs, mounted with pquota, under the driver overlay2"
        on = f"{driver} on {engine.file_system}".removesuffix(" on ")
        yield warning("disk quota", f"none: {on}", why, remedy)


def _options(host: Host) -> frozenset[str]:
    return frozenset() if isinstance(host.engine_mount, Unknown) else host.engine_mount.options
