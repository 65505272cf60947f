"""Checks of the network: what sandboxes can reach besides the internet."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from shlex import quote

from reconciler.doctor.finding import Finding, error, ok, unchecked, warning
from reconciler.doctor.firewall import Connection, Rules
from reconciler.doctor.host import Host, Unknown
from reconciler.model.world import EngineHealth, Network

METADATA = IPv4Address("169.254.169.254")
"""Where a cloud's machines get facts about themselves, and their credentials."""

DATABASES = {3306: "MySQL", 5432: "PostgreSQL", 6379: "Redis", 27017: "MongoDB"}
"""Ports on which clients of this host expect a database, and to which they send passwords."""

KEEP = "# lost at the next boot, unless you save it with your firewall's rules"


def bridge(host: Host, _: EngineHealth) -> Iterator[Finding]:
    """Whether sandboxes are kept apart: a bridge ignores the engine's rules unless the kernel is set to apply them."""
    if host.network is None:
        return
    if isinstance(host.network, Unknown):
        yield unchecked("bridge", host.network.why)
    elif host.network.why_unfit:
        why = "It does not confine sandboxes, so none is started in it."
        yield error("bridge", host.network.why_unfit, why, f"{host.client} network rm {host.network.name}")
    elif host.network.why_unfiltered:
        remedy = "sudo modprobe br_netfilter", "sudo sysctl -w net.bridge.bridge-nf-call-iptables=1"
        why = "Sandboxes could reach one another, so none is started."
        yield error("bridge", host.network.why_unfiltered, why, *remedy)
    else:
        yield ok("bridge", f"{host.network.name} keeps neighbours apart")


def firewall(host: Host, _: EngineHealth) -> Iterator[Finding]:
    """Whether sandboxes are kept from the services of the host and of the cloud."""
    if isinstance(host.network, Unknown):
        return
    if host.network is None:
        yield unchecked("firewall", "the network is made with the first sandbox", "reconciler apply")
    elif host.network.bridge not in host.interfaces:
        yield unchecked("firewall", f"there is no {host.network.bridge} here; is the engine's network elsewhere?")
    elif isinstance(host.rules, Unknown):
        yield unchecked("firewall", host.rules.why, "sudo reconciler doctor  # with the same options")
    else:
        try:
            sources = tuple(IPv4Network(subnet) for subnet in host.network.subnets if ":" not in subnet)
        except ValueError as not_a_subnet:
            yield unchecked("firewall", str(not_a_subnet))
        else:
            yield from _closed(host.network, host.rules, sources)


def ports(host: Host) -> Iterator[Finding]:
    """Whether sandboxes may publish ports on which clients expect a database: whoever is first has a port."""
    if host.published is None:
        return
    taken = next((port for port in DATABASES if port in host.published), None)
    said = f"{host.published[0]}-{host.published[-1]}"
    if taken is None:
        yield ok("published ports", said)
    else:
        why = f"A sandbox could take 127.0.0.1:{taken} before {DATABASES[taken]} does, and receive its passwords."
        remedy = '# say such as `published: "8000-9999"` in the policy'
        yield warning("published ports", f"{said}, which includes ports of databases", why, remedy)


def _closed(network: Network, rules: Rules, sources: tuple[IPv4Network, ...]) -> Iterator[Finding]:
    forward = "DOCKER-USER" if "DOCKER-USER" in rules.chains else "FORWARD"
    bridge = quote(network.bridge)
    yield _judged(
        "host's services",
        rules,
        "INPUT",
        Connection(network.bridge, sources),
        "Untrusted code can reach whatever listens on this host.",
        f"sudo iptables -I INPUT -i {bridge} -m conntrack --ctstate NEW -j DROP",
    )
    yield _judged(
        "cloud metadata",
        rules,
        "FORWARD",
        Connection(network.bridge, sources, METADATA),
        "On a machine in a cloud, sandboxes could ask for its credentials.",
        f"sudo iptables -I {forward} -i {bridge} -d {METADATA} -j DROP",
    )
    if len(sources) < len(network.subnets):
        yield unchecked("firewall", "the network has IPv6 too, whose rules are not looked at", "sudo ip6tables -S")


def _judged(check: str, rules: Rules, chain: str, connection: Connection, why: str, remedy: str) -> Finding:
    fate = rules.fate(chain, connection)
    if not fate.dropped:
        return error(check, "open to sandboxes", why, remedy, KEEP)
    if fate.except_for:
        return warning(check, f"closed to sandboxes but for: {fate.except_for[0]}", why, remedy, KEEP)
    return ok(check, "closed to sandboxes")
