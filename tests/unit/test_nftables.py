"""What becomes of connections from sandboxes, read from rules as `nft --json list ruleset` prints them."""

import json
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from reconciler.doctor.firewall import Connection, Fate, Rules
from reconciler.doctor.firewall import parse as parse_iptables
from reconciler.doctor.nftables import parse

TO_HOST = Connection("br-1", (IPv4Network("172.18.0.0/16"),))
TO_METADATA = Connection("br-1", (IPv4Network("172.18.0.0/16"),), IPv4Address("169.254.169.254"))

OPEN, CLOSED = Fate(dropped=False), Fate(dropped=True)
LEAK = Fate(dropped=True, except_for=("rule 1 of inet t input",))

ACCEPT, DROP, RETURN = {"accept": None}, {"drop": None}, {"return": None}
XT = {"xt": {"type": "match", "name": "owner"}}


def iifname(right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": {"meta": {"key": "iifname"}}, "right": right}}


def state(*states: str) -> dict[str, Any]:
    return {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": [*states]}}


def ip(field: str, right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": {"payload": {"protocol": "ip", "field": field}}, "right": right}}


def port(right: Any) -> dict[str, Any]:
    return {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": right}}


def vmap(key: dict[str, Any], data: Any) -> dict[str, Any]:
    return {"vmap": {"key": key, "data": data}}


def chain(name: str, **more: Any) -> dict[str, Any]:
    return {"chain": {"family": "inet", "table": "t", "name": name, "handle": 1, **more}}


def base(hook: str, policy: str = "accept", **more: Any) -> dict[str, Any]:
    return chain(more.pop("name", hook), type="filter", hook=hook, prio=0, policy=policy, **more)


def rule(*said: Any, of: str = "input", **more: Any) -> dict[str, Any]:
    return {"rule": {"family": "inet", "table": "t", "chain": of, "handle": 1, "expr": [*said], **more}}


def rules(*items: dict[str, Any], beside: Rules | None = None) -> Rules:
    return parse(json.dumps({"nftables": [{"metainfo": {"version": "1.1.7"}}, *items]}), beside)


STATES = {"ct": {"key": "state"}}
OLD = [["established", ACCEPT], ["invalid", DROP]]

HOST: dict[str, tuple[tuple[dict[str, Any], ...], Fate]] = {
    "no chain": ((), OPEN),
    "an open host": ((base("input"),), OPEN),
    "a closed host": ((base("input", "drop"),), CLOSED),
    "our rule": ((base("input"), rule(iifname("br-1"), state("new"), DROP)), CLOSED),
    "our rule, counted and logged": (
        (base("input"), rule(iifname("br-1"), {"counter": {"packets": 1}}, {"log": {}}, {"reject": None})),
        CLOSED,
    ),
    "an accepted packet is not safe in the next chain": (
        (base("input"), rule(ACCEPT), base("input", name="i2"), rule(iifname("br-1"), DROP, of="i2")),
        CLOSED,
    ),
    "one chain leaks, the other does not": (
        (base("input", "drop"), rule(port(22), ACCEPT), base("input", "drop", name="i2")),
        CLOSED,
    ),
    "another family": (({"chain": {**base("input", "drop")["chain"], "family": "ip6"}},), OPEN),
    "no filter": ((chain("input", type="nat", hook="input", prio=0, policy="drop"),), OPEN),
    "a wider rule": ((base("input"), rule(iifname("br-*"), DROP)), CLOSED),
    "a set with us": ((base("input"), rule(iifname({"set": ["eth0", "br-1"]}), DROP)), CLOSED),
    "a set without us": ((base("input"), rule(iifname({"set": ["eth0", "br-2"]}), DROP)), OPEN),
    "all but another": ((base("input"), rule(iifname("eth0", "!="), DROP)), CLOSED),
    "all but a set": ((base("input"), rule(iifname({"set": ["eth0", "br-1"]}, "!="), DROP)), OPEN),
    "a set with a name": ((base("input"), rule(iifname("@bridges"), DROP)), OPEN),
    "by the address": ((base("input"), rule(ip("saddr", {"prefix": {"addr": "172.16.0.0", "len": 12}}), DROP)), CLOSED),
    "by a part of the addresses": (
        (base("input"), rule(ip("saddr", {"prefix": {"addr": "172.18.0.0", "len": 24}}), DROP)),
        OPEN,
    ),
    "a range": ((base("input"), rule(ip("saddr", {"range": ["172.0.0.0", "173.0.0.0"]}), DROP)), OPEN),
    "one port": ((base("input"), rule(iifname("br-1"), port(22), DROP)), OPEN),
    "only now and then": ((base("input"), rule({"limit": {"rate": 5}}, DROP)), OPEN),
    "what only iptables understands": ((base("input"), rule(XT, DROP)), OPEN),
    "ssh": ((base("input", "drop"), rule(port({"set": [22, 2222]}), ACCEPT)), LEAK),
    "what goes on": ((base("input", "drop"), rule(state("established", "related"), ACCEPT)), CLOSED),
    "states in a map": ((base("input", "drop"), rule(vmap(STATES, {"set": OLD}))), CLOSED),
    "a map that drops what is new": ((base("input"), rule(vmap(STATES, {"set": [*OLD, ["new", DROP]]}))), CLOSED),
    "a map with a name": ((base("input", "drop"), rule(vmap(STATES, "@verdicts"))), LEAK),
    "another's rule": ((base("input"), rule({"queue": None}), rule(iifname("br-1"), DROP)), LEAK),
    "a chain that returns": (
        (base("input", "drop"), chain("a"), rule({"jump": {"target": "a"}}), rule(ACCEPT), rule(RETURN, of="a")),
        OPEN,
    ),
    "a chain that nothing comes back from": (
        (base("input"), chain("a"), rule({"goto": {"target": "a"}}), rule(DROP)),
        OPEN,
    ),
    "a chain for some": (
        (base("input"), chain("a"), rule(port(1), {"jump": {"target": "a"}}), rule(DROP, of="a")),
        OPEN,
    ),
}


@pytest.mark.parametrize(("items", "fate"), HOST.values(), ids=HOST.keys())
def test_connections_to_the_host(items: tuple[dict[str, Any], ...], fate: Fate) -> None:
    """Only what certainly drops all of a sandbox's connections to the host closes it, and leaks are named."""
    assert rules(*items).fate("INPUT", TO_HOST) == fate


@pytest.mark.parametrize(
    ("said", "fate"),
    [
        ([ip("daddr", "169.254.169.254"), DROP], CLOSED),
        ([ip("daddr", "169.254.169.253"), DROP], OPEN),
        ([ip("daddr", {"prefix": {"addr": "10.0.0.0", "len": 8}}, "!="), DROP], CLOSED),
        ([{"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "eth0"}}, DROP], OPEN),
    ],
)
def test_connections_to_the_cloud(said: list[dict[str, Any]], fate: Fate) -> None:
    """What is forwarded is looked for where it is going."""
    found = rules(base("forward"), base("input"), rule(iifname("br-1"), *said, of="forward"))
    assert found.fate("FORWARD", TO_METADATA) == fate
    assert found.fate("INPUT", TO_HOST) == OPEN


def test_podman() -> None:
    """A rule for one of Podman's bridges is none for all of them."""
    podman = Connection("podman+", (IPv4Network("0.0.0.0/0"),))
    assert rules(base("input"), rule(iifname("podman2"), DROP)).fate("INPUT", podman) == OPEN
    assert rules(base("input"), rule(iifname("podman*"), DROP)).fate("INPUT", podman) == CLOSED
    assert rules(base("input"), rule(iifname("pod*"), DROP)).fate("INPUT", podman) == CLOSED
    assert rules(base("input", "drop"), rule(iifname("podman2"), ACCEPT)).fate("INPUT", podman) == LEAK
    own = rule(ip("saddr", {"prefix": {"addr": "10.89.1.0", "len": 24}}), ACCEPT)
    assert rules(base("input", "drop"), own).fate("INPUT", podman) == LEAK


def test_both() -> None:
    """With iptables beside it, what one of them drops is gone, and its commands are there."""
    both = rules(base("input", "drop"), base("forward"), beside=parse_iptables("-P INPUT ACCEPT\n-P FORWARD DROP"))
    assert (both.fate("INPUT", TO_HOST), both.fate("FORWARD", TO_METADATA)) == (CLOSED, CLOSED)
    assert (both.iptables, rules().iptables, parse_iptables("").iptables) == (True, False, True)


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{"nftables": [{"rule": {"family": "ip", "table": "t", "chain": "c", "handle": 1, "expr": []}}]}'],
)
def test_what_are_no_rules(text: str) -> None:
    """Text that cannot be read is an error, not a host without rules."""
    with pytest.raises((ValueError, LookupError)):
        parse(text)
