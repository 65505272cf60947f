"""What the packet filter of the host does with a connection, read from the rules of iptables and of nftables."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network
from itertools import pairwise

DROPPING = {"DROP", "REJECT"}
NOT_TCP_OR_UDP = {"icmp", "igmp", "esp", "ah", "gre", "sctp", "ipv6-icmp"}
NO_CONDITION = {"conntrack", "state", "comment", "tcp", "udp"}
"""Modules that add no condition besides their own options, which are examined."""
HOOKS = "INPUT", "FORWARD"

Condition = tuple[str, str, bool]
"""Option, value, and whether it is negated."""


class Match(IntEnum):
    """Whether a rule concerns a connection; several conditions together are as their least one."""

    NO = 0
    MAYBE = 1
    YES = 2


@dataclass(frozen=True, slots=True)
class Connection:
    """Any new TCP or UDP connection from `bridge`, whose subnets are `sources`.

    With no `to` it is to the host itself, or to whoever is behind the bridge `out`. A `+` at the end of `bridge` stands
    for any characters, and so for several bridges.
    """

    bridge: str
    sources: tuple[IPv4Network, ...]
    to: IPv4Address | None = None
    out: str = ""
    """Empty: any but `bridge`."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, in the words of iptables, as far as it is understood."""

    text: str
    conditions: tuple[Condition, ...]
    target: str
    goes: bool
    """Whether the target is a chain from which nothing comes back here."""

    def match(self, connection: Connection) -> Match:
        """As its least certain condition."""
        return min((_match(connection, condition) for condition in self.conditions), default=Match.YES)


@dataclass(frozen=True, slots=True)
class Fate:
    """`dropped` holds but for what the rules in `except_for` let through."""

    dropped: bool
    except_for: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of each chain in their order, and the policies of those that have one."""

    chains: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    policies: Mapping[str, str] = field(default_factory=dict)
    hooks: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {hook: (hook,) for hook in HOOKS})
    """The chains in which a packet begins: what one of them drops is gone, whatever the others say."""

    @property
    def iptables(self) -> bool:
        """Whether its commands can be used here."""
        return "INPUT" in self.hooks["INPUT"]

    def fate(self, hook: str, connection: Connection) -> Fate:
        """What becomes of the connection. What may match, but need not, is never believed to drop all of it."""
        fates = [self._fate(chain, connection) for chain in self.hooks[hook]]
        return max(fates, key=lambda fate: (fate.dropped, -len(fate.except_for)), default=Fate(dropped=False))

    def _fate(self, chain: str, connection: Connection) -> Fate:
        accepted: list[str] = []
        verdict = _walk(self.chains, chain, connection, Match.YES, accepted) or self.policies.get(chain, "ACCEPT")
        return Fate(dropped=True, except_for=tuple(accepted)) if verdict in DROPPING else Fate(dropped=False)


def parse(text: str) -> Rules:
    """Raises ValueError for a line whose quotes do not close."""
    chains: dict[str, tuple[Rule, ...]] = {}
    policies: dict[str, str] = {}
    for line in text.splitlines():
        match shlex.split(line):
            case ["-P", chain, policy, *_]:
                policies[chain] = policy
            case ["-N", chain, *_]:
                chains.setdefault(chain, ())
            case ["-A", chain, *words]:
                chains[chain] = (*chains.get(chain, ()), _rule(line, words))
    return Rules(chains, policies)


def _rule(text: str, words: list[str]) -> Rule:
    """The target and its own options are the end of a rule."""
    end = next((at for at, word in enumerate(words) if word in {"-j", "-g"}), len(words))
    jump, target = [*words[end : end + 2], "", ""][:2]
    return Rule(text, tuple(_conditions(words[:end])), target, jump == "-g")


def _conditions(words: list[str]) -> Iterator[Condition]:
    starts = [at for at, word in enumerate(words) if word.startswith("-")]
    for start, end in pairwise([*starts, len(words)]):
        values = [word for word in words[start + 1 : end] if word != "!"]
        yield words[start], " ".join(values), words[max(start - 1, 0)] == "!"


def _walk(
    chains: Mapping[str, tuple[Rule, ...]], chain: str, connection: Connection, sure: Match, accepted: list[str]
) -> str | None:
    """The target that decides about all of the connection, None when it comes out at the end of the chain.

    Rules that accept some of it before are added to `accepted`. `sure` says whether all of it comes here.
    """
    inner = {name: rules for name, rules in chains.items() if name != chain}
    for rule in chains.get(chain, ()):
        match = min(rule.match(connection), sure)
        if match is Match.NO:
            continue
        verdict: str | None = rule.target
        if rule.target in inner:
            verdict = _walk(inner, rule.target, connection, match, accepted) or ("RETURN" if rule.goes else None)
        elif match is Match.MAYBE and verdict == "ACCEPT":
            accepted.append(rule.text)
        if verdict == "RETURN" and match is Match.MAYBE:
            sure = Match.MAYBE
        elif verdict == "RETURN":
            return None
        elif verdict in {"ACCEPT", *DROPPING} and match is Match.YES:
            return verdict
    return None


def _match(connection: Connection, condition: Condition) -> Match:
    option, value, negated = condition
    try:
        match = _plain_match(connection, option, value)
    except ValueError:  # a mask with holes
        return Match.MAYBE
    return Match(Match.YES - match) if negated else match


def _plain_match(connection: Connection, option: str, value: str) -> Match:
    match option:
        case "-i":
            return _match_interface(value, connection.bridge)
        case "-o" if connection.out:
            return _match_interface(value, connection.out)
        case "-o":
            return Match.NO if _match_interface(value, connection.bridge) is Match.YES else Match.MAYBE
        case "-s":
            return _match_source(connection, IPv4Network(value, strict=False))
        case "-d":
            return _match_destination(connection, IPv4Network(value, strict=False))
        case "-p":
            return Match.NO if value in NOT_TCP_OR_UDP else Match.MAYBE
        case "--ctstate" | "--state":
            return Match.YES if "NEW" in value.split(",") else Match.NO
        case "-m":
            return Match.YES if value in NO_CONDITION else Match.MAYBE
        case "--comment":
            return Match.YES
    return Match.MAYBE


def _match_interface(pattern: str, bridge: str) -> Match:
    """A `+` at the end stands for any characters."""
    if bridge.endswith("+") and pattern != bridge and pattern.startswith(bridge[:-1]):
        return Match.MAYBE
    return Match.YES if pattern == bridge or (pattern.endswith("+") and bridge.startswith(pattern[:-1])) else Match.NO


def _match_source(connection: Connection, network: IPv4Network) -> Match:
    if connection.sources and all(source.subnet_of(network) for source in connection.sources):
        return Match.YES
    return Match.MAYBE if any(source.overlaps(network) for source in connection.sources) else Match.NO


def _match_destination(connection: Connection, network: IPv4Network) -> Match:
    if connection.to is None:
        return Match.NO if network.is_multicast else Match.MAYBE
    return Match.YES if connection.to in network else Match.NO
