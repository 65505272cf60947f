"""Checks of the disks: how much is free, and whether one sandbox can use up all of it."""

from collections.abc import Iterator

from reconciler.doctor.finding import Finding, error, ok, unchecked, warning
from reconciler.doctor.host import Host, Room, Unknown
from reconciler.doctor.house import House
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
    remedy = f"{host.client} system df", f"{host.client} image prune"
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
    """Whether the storage driver can limit what a container writes: neither containerd's nor a rootless one can."""
    driver, house, xfs = engine.storage_driver, host.house, engine.file_system == "xfs"
    overlay = driver == house.driver
    why = "One sandbox can fill the disk that the engine and its neighbours write to."
    bound = "the size of each container can be limited"
    if house.rootless:
        remedy = f"# give {engine.facts.data} a file system of its own"
        yield warning("disk quota", "none: a rootless engine has none", why, *host.there(remedy))
    elif engine.containerd_store:
        yield warning("disk quota", "none: containerd's store has none", why, *host.there(*_leave_containerd(house)))
    elif driver in QUOTA_DRIVERS:
        yield ok("disk quota", f"{driver}: {bound}")
    elif overlay and isinstance(host.engine_mount, Unknown):
        yield unchecked("disk quota", host.engine_mount.why)
    elif overlay and xfs and {"prjquota", "pquota"} & _options(host):
        yield ok("disk quota", f"{driver} on xfs with pquota: {bound}")
    elif overlay and xfs:
        remedy = "# add pquota to its options in /etc/fstab, and mount it again"
        yield warning("disk quota", f"{driver} on xfs without pquota", why, *host.there(remedy))
    else:
        remedy = f"# put {engine.facts.data} on xfs, mounted with pquota, under the driver {house.driver}"
        on = f"{driver} on {engine.file_system}".removesuffix(" on ")
        yield warning("disk quota", f"none: {on}", why, *host.there(remedy))


def _leave_containerd(house: House) -> Iterator[str]:
    yield "# give /var/lib/containerd a file system of its own; or, on xfs with pquota, leave that store:"
    yield f'# in {house.configuration}: "features": {{"containerd-snapshotter": false}}'
    yield f"{house.systemctl('restart')}  # images and containers are then made anew"


def _options(host: Host) -> frozenset[str]:
    return frozenset() if isinstance(host.engine_mount, Unknown) else host.engine_mount.options
