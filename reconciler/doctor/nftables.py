"""The rules that `nft --json list ruleset` prints, in the words of iptables."""

import json
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from reconciler.doctor.firewall import HOOKS, Condition, Rule, Rules

OPTIONS = {"iif": "-i", "oif": "-o", "saddr": "-s", "daddr": "-d", "l4proto": "-p", "state": "--ctstate"}
UNKNOWN: Condition = ("?", "", False)
"""It may hold or not."""
WITHOUT_CONDITION = {"counter", "log", "mangle", "notrack"}


def parse(text: str, beside: Rules | None = None) -> Rules:
    """All rules for IPv4, with those of iptables that are `beside` them. Raises ValueError and LookupError."""
    chains, policies = (dict(beside.chains), dict(beside.policies)) if beside else ({}, {})
    hooks = {hook: [hook] if beside else [] for hook in HOOKS}
    for item in json.loads(text)["nftables"]:
        match item:
            case {"chain": {"family": "ip" | "inet" as family, "table": table, "name": name, **rest}}:
                chain, hook = f"{family} {table} {name}", str(rest.get("hook")).upper()
                chains.setdefault(chain, ())
                if rest.get("type") == "filter" and hook in hooks:
                    hooks[hook].append(chain)
                    policies[chain] = str(rest.get("policy", "accept")).upper()
            case {
                "rule": {"family": "ip" | "inet" as family, "table": table, "chain": name, "handle": at, "expr": said}
            }:
                where = f"{family} {table} "
                chains[where + name] += tuple(_rules(f"rule {at} of {where}{name}", where, said))
    return Rules(chains, policies, {hook: tuple(names) for hook, names in hooks.items()})


def _rules(text: str, where: str, statements: list[Any]) -> Iterator[Rule]:
    """One for each element of a set, as then each rule has one condition of a kind."""
    alternatives: list[list[Condition]] = []
    for statement in statements:
        match statement:
            case {"match": {"op": op, "left": left, "right": right}}:
                alternatives.append([*dict.fromkeys(_conditions(left, op, right))])
            case {"vmap": {"key": key, "data": {"set": pairs}}}:
                for element, verdict in pairs:
                    yield from _decided(text, where, [*alternatives, [*_conditions(key, "==", element)]], verdict)
            case {"vmap": _} | {"queue": _}:  # decided where it cannot be seen
                yield from _decided(text, where, [*alternatives, [UNKNOWN]], {"accept": None})
            case dict() if not statement.keys() <= WITHOUT_CONDITION:
                yield from _decided(text, where, alternatives, statement)
                alternatives.append([UNKNOWN])


def _decided(text: str, where: str, alternatives: list[list[Condition]], verdict: Mapping[str, Any]) -> Iterator[Rule]:
    """Nothing for what is no verdict."""
    for conditions in product(*alternatives):
        match verdict:
            case {"jump": {"target": target}}:
                yield Rule(text, conditions, where + target, goes=False)
            case {"goto": {"target": target}}:
                yield Rule(text, conditions, where + target, goes=True)
            case {"accept": _} | {"drop": _} | {"reject": _} | {"return": _}:
                yield Rule(text, conditions, next(iter(verdict)).upper(), goes=False)


def _conditions(left: Any, op: str, right: Any) -> Iterator[Condition]:
    match left, right:
        case _, {"set": elements} if op == "==":
            for element in elements:
                yield from _conditions(left, op, element)
        case (({"meta": {"key": key}} | {"ct": {"key": key}} | {"payload": {"protocol": "ip", "field": key}}), _):
            value = _value(right) if op in {"==", "!=", "in"} else ""
            yield (
                (OPTIONS.get(key.removesuffix("name"), "?"), value.upper() if key == "state" else value, op == "!=")
                if value
                else UNKNOWN
            )
        case _:
            yield UNKNOWN


def _value(right: Any) -> str:
    """Empty for what is not understood, such as a set that has a name."""
    match right:
        case str():
            return "" if right.startswith("@") else right.replace("*", "+")
        case {"prefix": {"addr": address, "len": length}}:
            return f"{address}/{length}"
        case [*states]:
            return ",".join(map(str, states))
    return ""
