"""What an engine adds to this machine's network, and how that goes again: it leaves its bridges and rules behind.

A Docker of the machine's own may have some of the same, also while it is stopped: what was there before stays.
"""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.private_engine import PATH

BRIDGE = re.compile(r"docker0|br-[0-9a-f]{12}")
OF_AN_ENGINE = re.compile(rf"DOCKER|\b({BRIDGE.pattern})\b")
COUNTERS = re.compile(r" *\[\d+:\d+\]")
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


@dataclass(frozen=True)
class HostNetwork:
    """`rules` are lines of `iptables-save`, each behind the name of its table: `nat -A POSTROUTING ...`."""

    forwarding: str
    bridges: list[str]
    rules: list[str]


@contextmanager
def left_as_it_was(record: Path) -> Iterator[None]:
    """Takes away what engines add to the network meanwhile.

    How it was is in the file `record`, for a next time, should this one be killed.
    """
    if not record.exists():
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(asdict(_now())))
    try:
        yield
    finally:
        _back_to(HostNetwork(**json.loads(record.read_text())))
        record.unlink()


def _back_to(before: HostNetwork) -> None:
    """Forwarding first: the engine's rules are what has closed it."""
    FORWARDING.write_text(before.forwarding)
    now = _now()
    for bridge in now.bridges:
        if bridge not in before.bridges:
            _run("ip", "link", "delete", bridge)
    added = [rule.split(" ", 1) for rule in now.rules if rule not in before.rules and OF_AN_ENGINE.search(rule)]
    for table, rule in (one for one in added if one[1].startswith("-A")):
        _run("iptables", "-t", table, "-D", *shlex.split(rule)[1:])
    for table, chain in (one for one in added if one[1].startswith(":")):
        _run("iptables", "-t", table, "-X", chain[1:].split()[0])
    if "filter :FORWARD DROP" in {*now.rules} - {*before.rules}:
        _run("iptables", "-P", "FORWARD", "ACCEPT")


def _now() -> HostNetwork:
    links = json.loads(_run("ip", "-json", "link", "show", "type", "bridge") or "[]")
    bridges = [link["ifname"] for link in links if BRIDGE.fullmatch(link.get("ifname", ""))]
    return HostNetwork(FORWARDING.read_text(), bridges, list(_rules(_run("iptables-save"))))


def _rules(saved: str) -> Iterator[str]:
    """The rules and the chains, without their counters."""
    table = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(("-A", ":")):
            yield f"{table} {COUNTERS.sub('', line)}"


def _run(*command: str) -> str:
    environment = {**os.environ, "PATH": PATH}
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
