"""Checks of the engine: whether it answers, who else may use it, and whether it is new enough."""

import re
from collections.abc import Iterator
from shlex import join, quote

from reconciler.doctor.finding import Finding, error, ok, unchecked, warning
from reconciler.doctor.host import EVERYONE, Host, PathAccess, Unknown
from reconciler.doctor.house import DOCKER
from reconciler.engine.address import Address
from reconciler.model.capabilities import Knob
from reconciler.model.world import EngineHealth

LOOPBACK_IS_PRIVATE_SINCE = 28
"""The first Docker Engine whose published ports on 127.0.0.1 are closed to machines on the same network."""

CLOCK_SECONDS_MAX = 2

AS_OWNER = "# run it as root, or as the user whose engine it is"


def answers(host: Host) -> Iterator[Finding]:
    """An engine that does not answer is one finding, whatever the reason."""
    if not isinstance(host.engine, Unknown):
        return
    why, house = "Nothing can run without it.", host.house
    match host.socket:
        case None if host.address.socket:
            absent = f"no engine: {host.address.socket} does not exist"
            yield error("engine", absent, why, house.systemctl("start"), f"# not there? Install {house.newest}")
        case PathAccess(kind=kind, path=path) if kind != "socket":
            yield error("engine", f"no engine: {path} is not a socket", why, "# name the engine's socket with --host")
        case PathAccess(usable=False, path=path, group=group):
            yield error("engine", f"not allowed to use {path}", why, *_join(group, rootless=house.rootless))
        case Unknown(why=trouble):
            yield error("engine", f"{host.address.socket}: {trouble}", why, AS_OWNER)
        case _ if host.address.ssh:
            yield error("engine", host.engine.why, why, join(("ssh", *host.address.ssh, "docker", "version")))
        case _:
            yield error("engine", host.engine.why, why, *host.there(house.systemctl("start")))


def _join(group: str, *, rootless: bool) -> tuple[str, ...]:
    if rootless or group == "root":
        return (AS_OWNER,)
    return f'sudo usermod -aG {quote(group)} "$USER"', "# then log in again; the group is as good as root"


def version(host: Host, engine: EngineHealth) -> Iterator[Finding]:
    """Whether the engine is new enough to confine sandboxes, and to keep ports to this host."""
    facts, newer = engine.facts, host.there(f"# install {host.house.newest}")
    text = f"{facts.name} {facts.version}, API {facts.api_version}"
    release = re.match(r"(\d{1,9})\.", facts.version)
    if not re.match(r"\d+\.\d", facts.api_version):
        yield unchecked("version", text)
    elif Knob.CGROUP_NAMESPACE in facts.lacking:
        why = "It lacks what sandboxes are confined with: none would be started."
        yield error("version", f"{text}: too old", why, *newer)
    elif host.house == DOCKER and release and int(release[1]) < LOOPBACK_IS_PRIVATE_SINCE:
        why = "Machines on the same network may reach ports that are published on 127.0.0.1."
        yield warning("version", text, why, *newer)
    else:
        yield ok("version", text)


def socket(host: Host) -> Iterator[Finding]:
    """Who may use the engine's socket: each of them is as good as root on the host."""
    if host.socket is None and not host.address.socket:
        yield _not_a_socket(host.address)
    elif isinstance(host.socket, Unknown):
        if not isinstance(host.engine, Unknown):  # then it has been told
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
        owner = "the engine's user" if host.house.rootless else "root on this host"
        why = f"Whoever may write to the socket is as good as {owner}."
        return error(
            "socket", f"everyone may write to {socket.path}", why, f"sudo chmod o-rw {quote(str(socket.path))}"
        )
    if both := sorted(host.authors & set(who)):
        why = "Who may use the engine directly is bound by no policy."
        remedy = "# give the sandboxes to others"
        if not host.house.rootless:
            remedy = f"# take {both[0]} out of group {socket.group}, or give the sandboxes to others"
        return warning("socket", f"{', '.join(both)} may use it and write the sandboxes", why, remedy)
    return ok("socket", f"for {', '.join(['root', *who])}")


def elsewhere(host: Host) -> Iterator[Finding]:
    """Whether the engine is on another host, of which only its own answers are known."""
    if remote := host.address.remote:
        text = f"the engine is on {remote}, whose files and firewall are not looked at"
        yield unchecked("host", text)


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


def live_restore(host: Host, engine: EngineHealth) -> Iterator[Finding]:
    """Whether containers go on while the engine restarts, as Podman's always do."""
    if engine.facts.name != "Docker":
        return
    house, why = host.house, "Whenever the engine restarts, all sandboxes stop."
    if house.rootless:
        yield warning("live restore", "a rootless engine has none", why, *host.there("# run the engine as root"))
    elif engine.live_restore:
        yield ok("live restore", "sandboxes run on while the engine restarts")
    else:
        remedy = f'# in {house.configuration}: "live-restore": true', house.systemctl("reload")
        yield warning("live restore", "off", why, *host.there(*remedy))


def lingering(host: Host, engine: EngineHealth) -> Iterator[Finding]:
    """Whether a rootless engine goes on when nobody is logged in."""
    if "rootless" not in engine.security or host.address.remote:
        return
    if isinstance(user := host.ends_with_logout_of, Unknown):
        yield unchecked("logout", user.why)
    elif user:
        why = "The engine ends then, and all sandboxes stop."
        yield warning(
            "logout", f"nothing of {user} runs on after it", why, f"sudo loginctl enable-linger {quote(user)}"
        )
    else:
        yield ok("logout", "the engine runs on after it")


def clock(host: Host, _: EngineHealth) -> Iterator[Finding]:
    """Whether the engine's clock and ours agree."""
    ahead, remedy = host.clock_ahead_seconds, "sudo timedatectl set-ntp true"
    if abs(ahead) > CLOCK_SECONDS_MAX:
        text = f"the engine's is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} ours"
        both = (f"# here, and on {host.address.remote}:",) if host.address.remote else ()
        yield error("clock", text, "Ages, and the times of restarts, are wrong.", *both, remedy)
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
            remedy = f"# take the tcp:// host out of {host.house.configuration} or the unit"
            yield error("engine says", text, why, *host.there(remedy))
        elif not text.startswith(("No ", "bridge-nf-call")):
            why = "The engine itself warns of it."
            yield warning("engine says", text, why, f"{host.client} info")
