"""Checks of the network: what sandboxes can reach besides the internet."""

import fnmatch
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from shlex import quote
from string import digits

from reconciler.doctor.finding import Finding, error, ok, unchecked, warning
from reconciler.doctor.firewall import Connection, Rules
from reconciler.doctor.host import Host, Unknown
from reconciler.model.world import EngineHealth, Network

METADATA = IPv4Address("169.254.169.254")
"""Where a cloud's machines get facts about themselves, and their credentials."""

DATABASES = {3306: "MySQL", 5432: "PostgreSQL", 6379: "Redis", 27017: "MongoDB"}
"""Ports on which clients of this host expect a database, and to which they send passwords."""

ANYWHERE = IPv4Network("0.0.0.0/0")

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
    elif _is_open_inside(host, host.network):
        text, why = "no rule of the firewall keeps neighbours apart", "Sandboxes can reach one another."
        restart = host.house.systemctl("restart")
        yield error("bridge", text, why, f'# take "iptables": false out of {host.house.configuration}', restart)
    else:
        yield ok("bridge", f"{host.network.name} keeps neighbours apart")


def _is_open_inside(host: Host, network: Network) -> bool:
    """By the rules of Docker on this host; elsewhere, all that is known is what the network is set to."""
    elsewhere = host.address.remote or host.house.rootless or network.bridge not in host.interfaces
    if isinstance(host.rules, Unknown) or host.house.client != "docker" or elsewhere:
        return False
    return not host.rules.fate("FORWARD", Connection(network.bridge, (ANYWHERE,), out=network.bridge)).dropped


def firewall(host: Host, _: EngineHealth) -> Iterator[Finding]:
    """Whether sandboxes are kept from the services of the host and of the cloud."""
    if isinstance(host.network, Unknown) or host.address.remote:
        return
    if host.house.rootless:
        yield unchecked("firewall", "a rootless engine has a network of its own", host.house.rules)
    elif host.network is None:
        yield unchecked("firewall", "the network is made with the first sandbox", "reconciler apply")
    else:
        try:
            connection = _connection(host.network, of_podman=host.house.client == "podman")
        except ValueError as not_a_subnet:
            yield unchecked("firewall", str(not_a_subnet))
        else:
            yield from _looked_at(host, host.network, connection)


def _connection(network: Network, *, of_podman: bool) -> Connection:
    """Podman's sandboxes have a network each, whose bridges have numbers, and addresses that are not known here."""
    if of_podman:
        return Connection(network.bridge.rstrip(digits) + "+", (ANYWHERE,))
    return Connection(network.bridge, tuple(IPv4Network(subnet) for subnet in network.subnets if ":" not in subnet))


def _looked_at(host: Host, network: Network, connection: Connection) -> Iterator[Finding]:
    bridge = connection.bridge
    if not fnmatch.filter(host.interfaces, bridge.replace("+", "*")):
        yield unchecked("firewall", f"there is no {bridge} here; is the engine's network elsewhere?")
    elif isinstance(host.rules, Unknown):
        yield unchecked("firewall", host.rules.why, "sudo reconciler doctor  # with the same options")
    else:
        why = "Untrusted code can reach whatever listens on this host."
        yield _judged("host's services", host.rules, "INPUT", connection, why)
        why = "On a machine in a cloud, sandboxes could ask for its credentials."
        yield _judged("cloud metadata", host.rules, "FORWARD", replace(connection, to=METADATA), why)
        if any(":" in subnet for subnet in network.subnets):
            yield unchecked("firewall", "the network has IPv6 too, whose rules are not looked at", "sudo ip6tables -S")


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


def _judged(check: str, rules: Rules, hook: str, connection: Connection, why: str) -> Finding:
    fate = rules.fate(hook, connection)
    if fate.dropped and not fate.except_for:
        return ok(check, "closed to sandboxes")
    remedy = [*_drop(rules, hook, connection), KEEP]
    if connection.bridge.endswith("+"):
        remedy.insert(0, "# for all of Podman's networks; containers that ask Podman for names lose that")
    if fate.dropped:
        return warning(check, f"closed to sandboxes but for: {fate.except_for[0]}", why, *remedy)
    return error(check, "open to sandboxes", why, *remedy)


def _drop(rules: Rules, hook: str, connection: Connection) -> Iterator[str]:
    """By iptables where it is, whatever else is: what it drops is gone."""
    if rules.iptables:
        chain = "DOCKER-USER" if hook == "FORWARD" and "DOCKER-USER" in rules.chains else hook
        what = f"-d {connection.to}" if connection.to else "-m conntrack --ctstate NEW"
        yield f"sudo iptables -I {chain} -i {quote(connection.bridge)} {what} -j DROP"
    else:
        chain, bridge = hook.lower(), connection.bridge.replace("+", "*")
        what = f"ip daddr {connection.to}" if connection.to else "ct state new"
        rule = f'add rule inet reconciler {chain} iifname "{bridge}" {what} drop'
        yield "sudo nft add table inet reconciler"
        yield f"sudo nft 'add chain inet reconciler {chain} {{ type filter hook {chain} priority 0; }}'"
        yield f"sudo nft {quote(rule)}"
