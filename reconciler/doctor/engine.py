"""Checks of the engine: whether it answers, who else may use it, and whether it is new enough."""

import re
from collections.abc import Iterator
from shlex import quote

from reconciler.doctor.finding import Finding, error, ok, unchecked, warning
from reconciler.doctor.host import EVERYONE, Host, PathAccess, Unknown
from reconciler.engine.address import Address
from reconciler.model.capabilities import Knob
from reconciler.model.world import EngineHealth

LOOPBACK_IS_PRIVATE_SINCE = 28
"""The first Docker Engine whose published ports on 127.0.0.1 are closed to machines on the same network."""

CLOCK_SECONDS_MAX = 2

INSTALL = "https://docs.docker.com/engine/install/"


def answers(host: Host) -> Iterator[Finding]:
    """An engine that does not answer is one finding, whatever the reason."""
    if not isinstance(host.engine, Unknown):
        return
    why, start = "Nothing can run without it.", "sudo systemctl start docker"
    match host.socket:
        case None if host.address.socket:
            absent = f"no engine: {host.address.socket} does not exist"
            yield error("engine", absent, why, start, f"# not installed? {INSTALL}")
        case PathAccess(kind=kind, path=path) if kind != "socket":
            yield error("engine", f"no engine: {path} is not a socket", why, "# name the engine's socket with --host")
        case PathAccess(usable=False, path=path, group=group):
            yield error("engine", f"not allowed to use {path}", why, *_join(group))
        case _:
            yield error("engine", host.engine.why, why, start)


def _join(group: str) -> tuple[str, ...]:
    if group == "root":
        return ("# run it as root",)
    return f'sudo usermod -aG {quote(group)} "$USER"', "# then log in again; the group is as good as root"


def version(_: Host, engine: EngineHealth) -> Iterator[Finding]:
    """Whether the engine is new enough to confine sandboxes, and to keep ports to this host."""
    facts = engine.facts
    text = f"{facts.name} {facts.version}, API {facts.api_version}"
    release = re.match(r"(\d{1,9})\.", facts.version)
    if not re.match(r"\d+\.\d", facts.api_version):
        yield unchecked("version", text)
    elif Knob.CGROUP_NAMESPACE in facts.lacking:
        why = "It lacks what sandboxes are confined with: none would be started."
        yield error("version", f"{text}: too old", why, f"# install Docker 28 or newer: {INSTALL}")
    elif facts.name == "Docker" and release and int(release[1]) < LOOPBACK_IS_PRIVATE_SINCE:
        why = "Machines on the same network may reach ports that are published on 127.0.0.1."
        yield warning("version", text, why, f"# install Docker 28 or newer: {INSTALL}")
    else:
        yield ok("version", text)


def socket(host: Host) -> Iterator[Finding]:
    """Who may use the engine's socket: each of them is as good as root on the host."""
    if host.socket is None and not host.address.socket:
        yield _not_a_socket(host.address)
    elif isinstance(host.socket, Unknown):
        yield unchecked("socket", host.socket.why)
    elif host.socket is not None and host.socket.kind == "socket":
        yield _writers_of_socket(host, host.socket)


def _not_a_socket(address: Address) -> Finding:
    if address.certificates:
        return ok("socket", f"{address}, for who has the key in {address.certificates}")
    if address.ssh:
        return ok("socket", f"{address}, for whom ssh lets in")
    why = "Whoever reaches the port is as good as root on the engine's host."
    remedy = "# use ssh://, or TLS with DOCKER_TLS_VERIFY"
    return error("socket", f"anybody who reaches {address} may use it", why, remedy)


def _writers_of_socket(host: Host, socket: PathAccess) -> Finding:
    who = sorted(socket.writers)
    if EVERYONE in who:
        why = "Whoever may write to the socket is as good as root on this host."
        return error(
            "socket", f"everyone may write to {socket.path}", why, f"sudo chmod o-rw {quote(str(socket.path))}"
        )
    if both := sorted(host.authors & set(who)):
        why = "Who may use the engine directly is bound by no policy."
        remedy = f"# take {both[0]} out of group {socket.group}, or give the sandboxes to others"
        return warning("socket", f"{', '.join(both)} may use it and write the sandboxes", why, remedy)
    return ok("socket", f"for {', '.join(['root', *who])}")


def elsewhere(host: Host) -> Iterator[Finding]:
    """Whether the engine is on another host, of which only its own answers are known."""
    if remote := host.address.remote:
        text = f"the engine is on {remote}, whose files and firewall are not looked at"
        yield unchecked("host", text, f"# remedies for the engine and its kernel are for {remote}")


def pinned(host: Host, _: EngineHealth) -> Iterator[Finding]:
    """Whether it is the engine that the state directory is about."""
    if isinstance(host.another_engine, Unknown):
        yield unchecked("pin", host.another_engine.why)
    elif host.another_engine:
        why = "The controller leaves it alone: nothing that it remembers is true of this one."
        remedy = f"rm {quote(str(host.pin_file))}  # if this one is meant", "# if not, name the other one with --host"
        yield error("pin", f"another engine answers than before: {host.another_engine}", why, *remedy)
    else:
        yield ok("pin", "no other engine answers than before")


def live_restore(_: Host, engine: EngineHealth) -> Iterator[Finding]:
    """Whether containers go on while the engine restarts, as Podman's always do."""
    if engine.facts.name != "Docker":
        return
    if engine.live_restore:
        yield ok("live restore", "sandboxes run on while the engine restarts")
    else:
        remedy = '# in /etc/docker/daemon.json: "live-restore": true', "sudo systemctl reload docker"
        yield warning("live restore", "off", "Whenever the engine restarts, all sandboxes stop.", *remedy)


def clock(host: Host, _: EngineHealth) -> Iterator[Finding]:
    """Whether the engine's clock and ours agree."""
    ahead, remedy = host.clock_ahead_seconds, "sudo timedatectl set-ntp true"
    if abs(ahead) > CLOCK_SECONDS_MAX:
        text = f"the engine's is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} ours"
        yield error("clock", text, "Ages, and the times of restarts, are wrong.", remedy)
    elif host.synchronised is False:
        why = "Times in status files and logs cannot be compared with those of other machines."
        yield warning("clock", "it is not synchronised", why, remedy)
    else:
        yield ok("clock", "the engine's agrees with ours")


def warnings(host: Host, engine: EngineHealth) -> Iterator[Finding]:
    """The engine's own warnings, but for those about the kernel, which has checks of its own."""
    for reported in engine.warnings:
        text = reported.removeprefix("WARNING: ")
        if "API is accessible on" in text:
            why = "Whoever reaches the port is as good as root on the host."
            yield error("engine says", text, why, "# take the tcp:// host out of /etc/docker/daemon.json or the unit")
        elif not text.startswith(("No ", "bridge-nf-call")):
            why = "The engine itself warns of it."
            yield warning("engine says", text, why, f"{host.docker} info")
