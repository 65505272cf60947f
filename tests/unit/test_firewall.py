"""What becomes of connections from sandboxes, read from rules as hosts have them."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from reconciler.doctor.firewall import Connection, Fate, parse

TO_HOST = Connection("br-1234", (IPv4Network("172.18.0.0/16"),))
TO_METADATA = Connection("br-1234", (IPv4Network("172.18.0.0/16"),), IPv4Address("169.254.169.254"))

OPEN, CLOSED = Fate(dropped=False), Fate(dropped=True)

DOCKER = """
-P INPUT ACCEPT
-P FORWARD DROP
-N DOCKER
-N DOCKER-ISOLATION-STAGE-1
-N DOCKER-USER
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o br-1234 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o br-1234 -j DOCKER
-A FORWARD -i br-1234 ! -o br-1234 -j ACCEPT
-A FORWARD -i br-1234 -o br-1234 -j DROP
-A DOCKER-ISOLATION-STAGE-1 -i br-1234 ! -o br-1234 -j RETURN
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
"""

UFW = """
-P INPUT DROP
-N ufw-before-input
-N ufw-user-input
-A INPUT -j ufw-before-input
-A INPUT -j ufw-user-input
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -m conntrack --ctstate INVALID -j DROP
-A ufw-before-input -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A ufw-before-input -d 224.0.0.251/32 -p udp -m udp --dport 5353 -j ACCEPT
"""

SSH = "-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT"

HOST = {
    "no rules": ("", OPEN),
    "an open host": ("-P INPUT ACCEPT", OPEN),
    "a closed host": ("-P INPUT DROP", CLOSED),
    "Docker's own rules": (DOCKER, OPEN),
    "our rule": ("-A INPUT -i br-1234 -m conntrack --ctstate NEW -j DROP", CLOSED),
    "a wider rule": ("-A INPUT -i br-+ -j REJECT --reject-with icmp-port-unreachable", CLOSED),
    "by the address": ("-A INPUT -s 172.16.0.0/12 -j DROP", CLOSED),
    "by a part of the addresses": ("-A INPUT -s 172.18.0.0/24 -j DROP", OPEN),
    "another bridge": ("-A INPUT -i br-12345 -j DROP", OPEN),
    "all but us": ("-A INPUT ! -i br-1234 -j DROP", OPEN),
    "all but another": ("-A INPUT ! -i eth0 -j DROP", CLOSED),
    "one port": ("-A INPUT -i br-1234 -p tcp -m tcp --dport 22 -j DROP", OPEN),
    "one address of the host": ("-A INPUT -i br-1234 -d 172.18.0.1/32 -j DROP", OPEN),
    "too late": ("-A INPUT -j ACCEPT\n-A INPUT -i br-1234 -j DROP", OPEN),
    "what goes on": ("-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -j DROP", CLOSED),
    "only now and then": ("-A INPUT -m limit --limit 5/min -j DROP", OPEN),
    "a log": ("-P INPUT ACCEPT\n-A INPUT -i br-1234 -j LOG --log-prefix DROP", OPEN),
    "words of a comment": ('-A INPUT -m comment --comment "not -i br-1234 -j DROP" -j ACCEPT', OPEN),
    "a mask with holes": ("-A INPUT -s 172.0.0.0/255.0.255.0 -j DROP", OPEN),
    "a set of addresses": ("-A INPUT -m set --match-set bad src -j DROP", OPEN),
    "ufw": (UFW, CLOSED),
    "ufw with ssh": (UFW + SSH, Fate(dropped=True, except_for=(SSH,))),
    "a chain that returns": (
        "-P INPUT DROP\n-N A\n-A INPUT -j A\n-A INPUT -j ACCEPT\n-A A -j RETURN\n-A A -j DROP",
        OPEN,
    ),
    "a chain that may return": ("-N A\n-A INPUT -j A\n-A A -p tcp -j RETURN\n-A A -j DROP", OPEN),
    "a chain for some": ("-N A\n-A INPUT -p tcp -j A\n-A A -j DROP", OPEN),
    "a chain that nothing comes back from": ("-N A\n-A INPUT -g A\n-A INPUT -j DROP\n-A A -i eth0 -j DROP", OPEN),
    "chains in a circle": ("-N A\n-A INPUT -j A\n-A A -j INPUT", OPEN),
}


@pytest.mark.parametrize(("rules", "fate"), HOST.values(), ids=HOST.keys())
def test_connections_to_the_host(rules: str, fate: Fate) -> None:
    """Only what certainly drops all of a sandbox's connections to the host closes it, and leaks are named."""
    assert parse(rules).fate("INPUT", TO_HOST) == fate


@pytest.mark.parametrize(
    ("rule", "fate"),
    [
        ("", OPEN),
        ("-A DOCKER-USER -d 169.254.169.254/32 -i br-1234 -j DROP", CLOSED),
        ("-A DOCKER-USER -d 169.254.0.0/16 -j DROP", CLOSED),
        ("-A DOCKER-USER -d 169.254.169.253/32 -j DROP", OPEN),
        ("-A DOCKER-USER ! -d 10.0.0.0/8 -i br-1234 -j DROP", CLOSED),
        ("-A DOCKER-USER -i br-1234 -o eth0 -j DROP", OPEN),
        ("-A DOCKER-USER -i br-1234 ! -o br-1234 -j DROP", CLOSED),
    ],
)
def test_connections_to_the_cloud(rule: str, fate: Fate) -> None:
    """A rule in the chain that Docker leaves to the host's owner counts as one in FORWARD itself."""
    assert parse(DOCKER + rule).fate("FORWARD", TO_METADATA) == fate


def test_rules_that_are_none() -> None:
    """A line that cannot be read is an error, not one rule less."""
    with pytest.raises(ValueError, match="quotation"):
        parse('-A INPUT -m comment --comment "open')
