"""Reads what this host's kernel says of a container, from `/proc` and from cgroups of version 1 or 2."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from io import FileIO
from math import inf
from pathlib import Path

from reconciler.model.kernel import KernelFacts, Process
from reconciler.spec.text import printable

SETTLED_SECONDS = 10
"""So old is a process that counts: what begins a health check, or somebody's shell, is root for a moment."""

NO_LIMIT = 1 << 62
"""Version 1 has a number at least so high where memory has no limit."""

PLACE = re.compile(r"^\d+:(.*?):(/.*)$", re.MULTILINE)
OOM_KILL = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)
STATUS = re.compile(r"^(PPid|Uid|Gid|Cap...|NoNewPrivs|Seccomp):\s(.*)$", re.MULTILINE)
CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
TICKS = os.sysconf("SC_CLK_TCK")


def read_kernel(container: str, first: int, proc: Path, cgroups: Path) -> KernelFacts | None:
    """The facts of the container with this `first` process; `proc` and `cgroups` are where the kernel shows itself.

    None where nothing is seen of it: it has ended, or another kernel carries it.
    """
    with suppress(OSError, LookupError, ValueError):
        places = PLACE.findall(_text(f"{proc}/{first}/cgroup"))
        memory, cpu, pids = (_groups(places, one, container, cgroups) for one in ("memory", "cpu", "pids"))
        mem_limit, swap = _least(memory, "memory.max", "memory.limit_in_bytes"), _least(memory, "memory.swap.max")
        oom_kills = OOM_KILL.findall(_text(f"{memory[-1]}/memory.events") + _text(f"{memory[-1]}/memory.oom_control"))
        return KernelFacts(
            mem_limit=mem_limit,
            memswap_limit=_least(memory, "memory.memsw.limit_in_bytes") if swap is None else (mem_limit or 0) + swap,
            cpus=_least(cpu, "cpu.max", "cpu.cfs_quota_us cpu.cfs_period_us"),
            pids_limit=_least(pids, "pids.max"),
            processes=tuple({replace(one, pid=0): one for one in _processes(memory[-1], first, proc)}.values()),
            label=printable(_text(f"{proc}/{first}/attr/current").strip("\0\n")),
            oom_kills=max(map(int, oom_kills), default=0),
        )
    return None


def _groups(places: Iterable[tuple[str, str]], controller: str, container: str, cgroups: Path) -> list[str]:
    """The container's cgroups for a controller: the one of its first process, and those above it that are its own."""
    paths = {name: path for names, path in places for name in names.split(",")}
    root = cgroups / controller if controller in paths else cgroups / "unified"
    parts = f"{root if root.is_dir() else cgroups}{paths.get(controller) or paths['']}".split("/")
    return [own for end in range(len(parts), 0, -1) if container in (own := "/".join(parts[:end]))]


def _least(groups: Iterable[str], *versions: str) -> float | None:
    """The limit that holds in all of them, from the files of either version; None where none can be read."""
    told = [" ".join(_text(f"{group}/{file}") for file in files.split()) for group in groups for files in versions]
    return min((_limit(*text.split()) for text in told if text.strip()), default=None)


def _limit(number: str, of: str = "1") -> float:
    """`max`, or -1, is none; a quota of CPU time is of a period."""
    limited = number != "max" and 0 <= int(number) < NO_LIMIT
    return int(number) / int(of) if limited else inf


def _processes(group: str, first: int, proc: Path) -> Iterator[Process]:
    """All that count of a cgroup and those below it, the highest number first.

    Capabilities that hold in a user namespace of a process's own alone are none.
    """
    uids, gids = (_text(f"{proc}/{first}/{ids}_map") for ids in ("uid", "gid"))
    youngest = float(_text(f"{proc}/uptime").split()[0]) - SETTLED_SECONDS
    found = {pid: dict(STATUS.findall(_text(f"{proc}/{pid}/status"))) for pid in sorted(_pids(group), reverse=True)}
    for pid, status in found.items():
        stat = _text(f"{proc}/{pid}/stat").rpartition(")")[2].split()  # before it is the name, which can hold anything
        if status and stat and stat[0] not in "ZX" and int(stat[19]) / TICKS <= youngest:
            within = _text(f"{proc}/{pid}/uid_map") == uids
            yield Process(
                pid=pid,
                own=first in _line(pid, found),
                user=f"{_least_id(status['Uid'], uids)}:{_least_id(status['Gid'], gids)}",
                capabilities=max(int(status[name], 16) for name in CAPABILITIES) if within else 0,
                no_new_privileges=status["NoNewPrivs"] == "1",
                seccomp=status["Seccomp"] == "2",
            )


def _pids(group: str) -> Iterator[int]:
    with os.scandir(group) as inside:
        yield from map(int, _text(f"{group}/cgroup.procs").split())
        for entry in inside:
            if entry.is_dir(follow_symlinks=False):
                yield from _pids(entry.path)


def _line(pid: int, found: Mapping[int, Mapping[str, str]]) -> list[int]:
    """A process and all that it descends from."""
    line = [pid]
    while (status := found.get(line[-1])) and (parent := int(status["PPid"])) not in line:
        line.append(parent)
    return line


def _least_id(told: str, ids: str) -> str:
    """As the container counts, by its map: the first inside, the first outside, how many. Others are the host's."""
    least, rows = min(map(int, told.split())), [map(int, row.split()) for row in ids.splitlines()]
    if not rows:
        raise LookupError("it has ended")
    counted = (least - outside + inside for inside, outside, count in rows if outside <= least < outside + count)
    return str(next(counted, f"{least} of the host"))


def _text(path: str) -> str:
    """Empty where it cannot be read."""
    with suppress(OSError), FileIO(path) as file:
        return file.readall().decode("latin-1")
    return ""
