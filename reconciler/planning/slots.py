"""Which sandboxes have a slot, a place under the limit: what runs keeps its own, the others wait in an order."""

from collections.abc import Sequence
from typing import NamedTuple

from reconciler.model.plan import SandboxPlan, Verdict
from reconciler.planning import backoff
from reconciler.planning.situation import Situation
from reconciler.planning.wanted import Wanted


class Slots(NamedTuple):
    """`given` are the sandboxes that have a slot; `why_no_more` says to the others what to do."""

    given: set[str]
    why_no_more: str


def allot_slots(
    situation: Situation, with_slot: Sequence[tuple[Wanted, SandboxPlan]], unwanted: Sequence[SandboxPlan]
) -> Slots:
    """`with_slot` are the sandboxes that should run, with their plans if all had a slot; `unwanted` are other plans.

    What has ended needs no slot. A slot is free again only when its container has really stopped.
    """
    limit, up, names = situation.policy.sandboxes_max, situation.names_up, {one.name for one, _ in with_slot}
    staying = situation.memory.in_flight | {one.sandbox for one in unwanted if one.sandbox in up and not one.actions}
    keepers = sorted(names & up)[: max(0, limit - len(staying))]
    down = [(one, planned) for one, planned in with_slot if one.name not in up]
    waiting = sorted((_rank(one, planned), one.name, planned) for one, planned in down if not one.ended)
    starters = {name: planned for _, name, planned in waiting[: max(0, limit - _used(situation))]}
    idle = {name for name, planned in starters.items() if not planned.actions}
    unmanaged = {f"{one.sandbox} (unmanaged)" for one in situation.world.unmanaged if one.sandbox and one.up}
    users = {*keepers, *staying, *(up - names), *starters, *unmanaged} - idle
    told = [f"{limit} of {limit} slots are used; stop or remove one, or raise sandboxes_max"]
    told += [f"used by {', '.join(sorted(users))}"] if users else []
    told += [f"reserved for {', '.join(sorted(idle))}, which cannot start yet"] if idle else []
    return Slots({*keepers, *starters}, "; ".join(told))


def _used(situation: Situation) -> int:
    """By each container that is up, by each plan in flight that may start one, by each that may be ours and is up."""
    world, starting = situation.world, situation.memory.in_flight - situation.names_up
    unmanaged = sum(bool(one.sandbox) and one.up for one in world.unmanaged)
    return sum(container.up for container in world.containers) + len(starting) + unmanaged


def _rank(wanted: Wanted, planned: SandboxPlan) -> tuple[bool, bool, int]:
    """The order of those that wait for a slot; `planned` is what would be done with one.

    What has exited for the first time keeps its slot. Then comes who has never failed, then who has failed and can be
    tried now, the fewest failures first: two that take turns would keep the slot between them. Last comes who would
    not use it now, because of a backoff, or because the engine or the network is unfit.
    """
    failures, failure = wanted.failures, wanted.status.failure
    idle = planned.verdict in {Verdict.WAIT, Verdict.HOLD}
    of_a_run = failure is not None and failure.reason in backoff.RUN
    keeps = wanted.exited and (not failures or (failures == 1 and of_a_run))
    return idle, not keeps, failures
