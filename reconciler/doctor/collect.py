"""Collects facts about the host and its engine, and changes nothing; what cannot be found out is `Unknown`."""

import grp
import os
import pwd
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from reconciler.control.pin import Pin
from reconciler.control.settings import Settings
from reconciler.doctor import firewall, nftables
from reconciler.doctor.host import EVERYONE, Host, MountPoint, PathAccess, Room, Unknown
from reconciler.engine.docker.client import DockerEngine
from reconciler.engine.host import mount_of, mounts
from reconciler.model.errors import PolicyInvalid, ReconcilerError
from reconciler.model.world import EngineHealth, Network
from reconciler.report.store import Store
from reconciler.spec.policy import Policy
from reconciler.spec.text import printable

Found = TypeVar("Found")

COMMAND_SECONDS = 10
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
"""With the directories of iptables and nft, which an ordinary user's PATH lacks."""

SYSTEMD = Path("/run/systemd/system")
"""Is there where systemd has booted; see sd_booted(3)."""
LINGER = Path("/var/lib/systemd/linger")

TROUBLE = (OSError, ValueError, LookupError, RuntimeError, subprocess.SubprocessError, ReconcilerError)

KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "directory"),
    (stat.S_ISREG, "file"),
    (stat.S_ISSOCK, "socket"),
)
TO_LIST = os.R_OK | os.X_OK
TO_WRITE = os.R_OK | os.W_OK
TO_FILL = os.W_OK | os.X_OK
"""What we must be allowed, of a directory, a socket, and a directory in which we write."""


def collect(settings: Settings) -> Host:
    """Asks engine, kernel and files, and changes nothing. What cannot be known is `Unknown`, never an error."""
    engine = DockerEngine(settings.address, settings.instance, read_only=True)
    before = time.time()
    health = _found(engine.health)
    after = time.time()
    network = health if isinstance(health, Unknown) else _found(lambda: _network(settings, engine, health))
    store = Store(settings.state)
    data = health if isinstance(health, Unknown) else _found(lambda: _local_data(settings, health))
    policy, policy_invalid = _policy(settings)
    return Host(
        address=settings.address,
        socket=_found(lambda: _place(settings.address.socket, TO_WRITE)),
        engine=health,
        another_engine=_found(Pin(engine, store).another),
        ends_with_logout_of="" if isinstance(health, Unknown) else _found(lambda: _without_linger(settings, health)),
        pin_file=store.pin_file,
        network=network,
        interfaces=frozenset() if settings.address.remote else _interfaces(),
        rules=_found(_rules) if network else Unknown("there is no network"),
        clock_ahead_seconds=0 if isinstance(health, Unknown) else _outside(health.clock, before, after),
        synchronised=_synchronised(),
        inotify=_found(_inotify),
        engine_mount=data if isinstance(data, Unknown) else _found(lambda: _mount(data)),
        engine_room=data if isinstance(data, Unknown) else _found(lambda: _room(data)),
        state=_found(lambda: _nearest(settings.state)),
        state_path=settings.state,
        state_room=_found(lambda: _room(_existing(settings.state))),
        policy=_found(lambda: _place(settings.policy_file, os.R_OK, with_parents=True)),
        policy_file=settings.policy_file,
        policy_invalid=policy_invalid,
        published=policy.published_ports if policy else None,
        directory=_found(lambda: _place(settings.directory, TO_LIST)),
        directory_path=settings.directory,
        directory_mount=_found(lambda: _mount(settings.directory)),
    )


def _network(settings: Settings, engine: DockerEngine, health: EngineHealth) -> Network | None:
    network = engine.network()
    return network and replace(network, why_unfiltered=settings.engine_host.why_unfiltered(network, health.facts))


def _found(collect: Callable[[], Found]) -> Found | Unknown:
    try:
        return collect()
    except TROUBLE as error:
        why = error.strerror if isinstance(error, OSError) else None
        return Unknown(printable(why or error or type(error).__name__))


def _local_data(settings: Settings, health: EngineHealth) -> Path:
    """Where the engine keeps its data, if that is on this host."""
    if settings.address.socket is None or not health.facts.data:
        raise LookupError("where the engine keeps its data is not known here")
    return Path(health.facts.data)


def _without_linger(settings: Settings, health: EngineHealth) -> str:
    """The user of a rootless engine of this host, unless systemd keeps the user's services; see loginctl(1)."""
    socket = settings.address.socket
    if socket is None or "rootless" not in health.security or not SYSTEMD.exists():
        return ""
    user = pwd.getpwuid(socket.stat().st_uid).pw_name
    return "" if (LINGER / user).exists() else user


# --- the clock, the kernel, commands ---------------------------------------------------------------------------------


def _outside(moment: float, before: float, after: float) -> float:
    """How far the moment is outside the span: negative before it, 0 within."""
    return max(0.0, moment - after) + min(0.0, moment - before)


def _synchronised() -> bool | None:
    answer = _found(lambda: _output("timedatectl", "show", "--property=NTPSynchronized", "--value").strip())
    return {"yes": True, "no": False}.get(str(answer))


def _interfaces() -> frozenset[str]:
    """Their names; empty where the kernel does not tell."""
    names = _found(socket.if_nameindex)
    return frozenset() if isinstance(names, Unknown) else frozenset(name for _, name in names)


def _rules() -> firewall.Rules:
    """Those of iptables, and of nftables where its command is; iptables may be missing then."""
    nft, iptables = (shutil.which(program, path=PATH) for program in ("nft", "iptables"))
    rules = firewall.parse(_output("iptables", "-S")) if iptables or not nft else None
    return nftables.parse(_output("nft", "--json", "list", "ruleset"), rules) if nft or not rules else rules


def _inotify() -> Mapping[str, int]:
    names = ("max_user_instances", "max_user_watches")
    return {name: _number(f"/proc/sys/fs/inotify/{name}") for name in names}


def _number(file: str) -> int:
    return int(Path(file).read_text())


def _output(program: str, *arguments: str) -> str:
    command = shutil.which(program, path=PATH)
    if command is None:
        raise LookupError(f"there is no {program} here")
    done = subprocess.run(
        [command, *arguments],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C", "PATH": PATH},
        timeout=COMMAND_SECONDS,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise LookupError(said[0])
    return done.stdout.decode(errors="replace")


# --- files -----------------------------------------------------------------------------------------------------------


def _place(path: Path | None, needed: int, *, with_parents: bool = False) -> PathAccess | None:
    """None where nothing is. Access control lists are not looked at, but for what the mode tells of them."""
    if path is None:
        return None
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    kind = next((kind for is_kind, kind in KINDS if is_kind(found.st_mode)), "other")
    writers = dict.fromkeys(_writers(found), path)
    if with_parents:
        writers = {**_replacers(path), **writers}
    return PathAccess(path, kind, _group(found.st_gid), os.access(path, needed), writers)


def _nearest(path: Path) -> PathAccess:
    """Of the directory, or of the nearest one above it that is there, in which it can be made."""
    place = _place(_existing(path), TO_FILL)
    if place is None:
        raise LookupError("it came or went just now")
    return place


def _existing(path: Path) -> Path:
    return next(one for one in (path, *path.absolute().parents) if one.exists())


def _writers(found: os.stat_result) -> Iterator[str]:
    """Who may write, root aside. The owner always counts, who can change the mode."""
    if found.st_uid:
        yield _user(found.st_uid)
    if found.st_mode & stat.S_IWGRP:
        yield f"group {_group(found.st_gid)}"
        yield from map(_user, _members(found.st_gid))
    if found.st_mode & stat.S_IWOTH:
        yield EVERYONE


def _replacers(path: Path) -> Mapping[str, Path]:
    """Who may put something else in the path's place, in the directories above it and above what it links to."""
    above = {*path.absolute().parents, *path.resolve().parents}
    replacers: dict[str, Path] = {}
    for directory in sorted(above):
        found = directory.stat()
        writers = _writers(found)
        if found.st_mode & stat.S_ISVTX:  # there only owners may rename and remove
            writers = iter([_user(found.st_uid)] if found.st_uid else [])
        replacers |= dict.fromkeys(writers, directory)
    return replacers


def _members(gid: int) -> set[int]:
    """All users of the group but root, as their first group or as one more."""
    users = pwd.getpwall()
    try:
        named = set(grp.getgrgid(gid).gr_mem)
    except KeyError:
        named = set()
    return {user.pw_uid for user in users if user.pw_gid == gid or user.pw_name in named} - {0}


def _user(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _policy(settings: Settings) -> tuple[Policy | None, str | None]:
    """The policy, or what is wrong with its file."""
    try:
        return settings.policy(), None
    except PolicyInvalid as error:
        return None, str(error.problems[0])


# --- file systems ----------------------------------------------------------------------------------------------------


def _mount(path: Path) -> MountPoint:
    found = mount_of(path.resolve(strict=True), mounts(Path("/proc/self/mountinfo")))
    if found is None:
        raise LookupError("its file system is not among the mounts")
    return MountPoint(printable(found.file_system), found.options)


def _room(path: Path) -> Room:
    found = os.statvfs(path)
    return Room(found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None)
