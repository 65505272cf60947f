"""Bugs planted into the real code, one at a time: a simulation that cannot find them would prove nothing.

python -m tests.simulation.mutations NAME SEEDS [FROM]     plays until a seed finds the bug, and prints it
"""

import sys
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType


@dataclass(frozen=True)
class Mutation:
    """In `module`, `right` becomes `wrong`; `seed` finds it."""

    module: str
    right: str
    wrong: str
    seed: int


MUTATIONS = {
    "skip the verification": Mutation(
        "reconciler.control.lanes", "return self._verified(outcome, rendered)", "return outcome", 0
    ),
    "go on after a failed verification": Mutation(
        "reconciler.control.lanes",
        "        if not mismatches:\n            return outcome\n",
        "        return outcome\n",
        40,
    ),
    "go on after a failure": Mutation(
        "reconciler.control.lanes", "if failed or self._abandoned", "if self._abandoned", 6
    ),
    "count the limit before a stop has finished": Mutation(
        "reconciler.planning.decide",
        "taken = sum(container.up for container in self.world.containers) + len(busy - up) + len(others)",
        "taken = len(set(cases) & up) + len(busy - up)",
        0,
    ),
    "forget who is in flight under the limit": Mutation(
        "reconciler.planning.decide",
        "taken = sum(container.up for container in self.world.containers) + len(busy - up) + len(others)",
        "taken = sum(container.up for container in self.world.containers)",
        15,
    ),
    "admit one too many": Mutation(
        "reconciler.planning.decide", "waiting[: max(0, limit - taken)]", "waiting[: max(0, limit - taken + 1)]", 19
    ),
    "reserve a slot for who is in backoff": Mutation(
        "reconciler.planning.converge", "            return 3, failures\n", "            return 0, failures\n", 17
    ),
    "let a crash loop go before who has never failed": Mutation(
        "reconciler.planning.converge", "or (failures == 1 and failure", "or (failure", 178
    ),
    "show what is held and serves as not ready": Mutation(
        "reconciler.planning.decide",
        "if lane.verdict in {Verdict.HOLD, Verdict.WAIT} and up and not (lane.current and lane.current.up):",
        "if False:",
        0,
    ),
    "take what is suspended for what is declared": Mutation(
        "reconciler.planning.decide", 'return self._case(name, sandbox, rendered).lane("").synced', "return True", 565
    ),
    "leave the unhealthy alone": Mutation(
        "reconciler.planning.converge", "return lane if self._startable(lane) is lane else kept", "return kept", 25
    ),
    "restart the unhealthy without a rest": Mutation(
        "reconciler.planning.converge", "if backoff.rests(self.status, backoff.RUN, self.now):", "if False:", 318
    ),
    "restart the unhealthy whatever they say": Mutation(
        "reconciler.planning.converge", "        if self.sandbox.restart is Restart.NO:\n", "        if False:\n", 7
    ),
    "treat a broken file as absent": Mutation(
        "reconciler.planning.decide",
        "        if problems := self.desired.problems_of(name):\n",
        "        if (problems := self.desired.problems_of(name)) and not self.containers.get(name):\n",
        7,
    ),
    "remove what a stray may be meant as": Mutation(
        "reconciler.model.desired", "or self.strays.get(likeness(name), ())", "or ()", 10
    ),
    "ignore suspend": Mutation(
        "reconciler.planning.decide", "            and declaration.sandbox.suspend is None\n", "", 10
    ),
    "believe an unreadable directory": Mutation(
        "reconciler.planning.removals", "    if not desired.sound:\n", "    if False:\n", 108
    ),
    "let an approval stand for everything": Mutation(
        "reconciler.planning.decide",
        "return all(container.id in self.memory.approved for container in self.containers[name])",
        "return bool(self.memory.approved)",
        201,
    ),
    "forget the budget": Mutation("reconciler.planning.removals", "    if not going or len", "    if True or len", 5),
    "forget what was removed before": Mutation(
        "reconciler.planning.removals", "if not going or len(going | removed) <=", "if not going or len(going) <=", 5
    ),
    "let new files raise the budget": Mutation(
        "reconciler.planning.removals",
        "for status in running if status.added_at <= begun}",
        "for status in running}",
        699,
    ),
    "remove what was withheld after a while": Mutation(
        "reconciler.planning.removals",
        "before and before.policy == policy.fingerprint else frozenset()",
        "False else frozenset()",
        35,
    ),
    "believe a share of what nobody remembers": Mutation(
        "reconciler.planning.removals", "if recent.since <= begun else 0", "if True else 0", 72
    ),
    "let two files publish one port": Mutation(
        "reconciler.desired.directory", "found if len(found) > 1 else ()", "found if len(found) > 2 else ()", 105
    ),
    "act in the middle of a merge": Mutation(
        "reconciler.control.read", "        if scanned.waits:\n", "        if False:\n", 5
    ),
    "work twice on one sandbox": Mutation(
        "reconciler.planning.decide",
        "free = self.running.keys() - self.memory.in_flight",
        "free = self.running.keys()",
        2,
    ),
    "take a stranger with our labels for ours": Mutation(
        "reconciler.control.observe",
        "if summary.id in self._ours or not ownership.is_misnamed(summary, self._owner):",
        "if True:",
        5,
    ),
    "let one odd container stop the whole": Mutation(
        "reconciler.control.observe",
        "            return error\n",
        "            raise EngineUnavailable from error\n",
        4,
    ),
    "start beside what may be ours": Mutation(
        "reconciler.model.world",
        "for one in self.unmanaged if one.sandbox == sandbox)",
        "for one in self.unmanaged if one.sandbox == sandbox and one.source)",
        24,
    ),
    "take what another source owns": Mutation(
        "reconciler.model.labels", 'return source in {"", self.source} or source in self.adopted', "return True", 4
    ),
    "forget who may be ours under the limit": Mutation(
        "reconciler.planning.decide", "+ len(busy - up) + len(others)", "+ len(busy - up)", 92
    ),
    "start the new one before the old one has stopped": Mutation(
        "reconciler.planning.converge",
        "        if way := tuple(self._making_way(others)):\n",
        "        yield Start(container)\n        if way := tuple(self._making_way(others)):\n",
        0,
    ),
    "verify only before the old one stops": Mutation(
        "reconciler.planning.converge",
        "            yield from way\n            yield Verify(self.rendered, container)\n",
        "            yield from way\n",
        0,
    ),
    "replace all at once": Mutation(
        "reconciler.planning.decide", "            elif left > 0:\n", "            elif True:\n", 6
    ),
    "forget the replacements under way": Mutation(
        "reconciler.planning.decide", "left = limit - len(self.memory.replacing)", "left = limit", 6
    ),
    "forget a start that may happen late": Mutation(
        "reconciler.planning.converge", "return other.up and other.id != self.status.doubtful", "return True", 561
    ),
    "never clear away what is left over": Mutation(
        "reconciler.planning.converge", "if actions := tuple(disposal(self.others)):", "if actions := ():", 151
    ),
    "keep what has drifted": Mutation(
        "reconciler.planning.converge", "drift = self.mismatches[current.id]", "drift = ()", 29
    ),
    "leave a pause": Mutation("reconciler.planning.converge", "if current.state is State.PAUSED:", "if False:", 71),
    "rest for ever": Mutation(
        "reconciler.planning.backoff", "return 0 < status.retry_at - now <= MAX_SECONDS", "return True", 0
    ),
    "let a stop by the controller end a sandbox for good": Mutation(
        "reconciler.planning.converge",
        "        if current.id in self.status.halted:\n            return False\n",
        "",
        180,
    ),
    "leave what is held although the policy forbids it": Mutation(
        "reconciler.planning.decide",
        "        return self._within_limits(self._outranked(lane))\n",
        "        return self._within_limits(lane)\n",
        10,
    ),
    "replace while the directory cannot be read": Mutation(
        "reconciler.planning.decide", "            elif not self.desired.sound:\n", "            elif False:\n", 8
    ),
    "leave what is held although somebody has changed it": Mutation(
        "reconciler.planning.decide", "        return self._unchanged(name, lane, up)\n", "        return lane\n", 505
    ),
    "believe a list that leaves something out": Mutation(
        "reconciler.control.observe",
        "            if inspection is not None:\n                raise",
        "            if False:\n                raise",
        176,
    ),
    "keep a port that a changed policy forbids": Mutation(
        "reconciler.planning.ports",
        "keeps = mine in published and (running or mine not in fixed)",
        "keeps = running or mine not in fixed",
        83,
    ),
    "start again what has written too much": Mutation(
        "reconciler.planning.converge",
        "if self.full or (current.id == self.status.noisy",
        "if (current.id == self.status.noisy",
        25,
    ),
    "let what is held fill the disk": Mutation(
        "reconciler.planning.decide",
        "return self._within_limits(self._outranked(lane))",
        "return self._outranked(lane)",
        14,
    ),
    "make what was pulled as if it were known": Mutation(
        "reconciler.control.lanes",
        "if any(isinstance(action, Pull) for action in outcome.lane.actions):",
        "if False:",
        2,
    ),
    "let an image check as often as it likes": Mutation(
        "reconciler.planning.converge", "yield Create(fitted(self.rendered, image))", "yield Create(self.rendered)", 25
    ),
    "let who says too much run on": Mutation(
        "reconciler.planning.excess", "if container.id == status.noisy:", "if False:", 14
    ),
    "believe what was worked out for ever": Mutation(
        "reconciler.planning.recall",
        "if known is None or not all(map(_same, known[0], arguments)):",
        "if known is None:",
        0,
    ),
    "look no more at volumes once they are mounted": Mutation(
        "reconciler.planning.converge", "        if self.rendered.spec.volumes:", "        if False:", 42
    ),
    "let an exchanged source be read until the next pass": Mutation(
        "reconciler.control.lanes", "if outcome.failure is Reason.MOUNT_MISMATCH:", "if False:", 42
    ),
    "look at no volumes in an observation": Mutation(
        "reconciler.control.observe",
        "return self.volumes.witnessed(container, self._engine.inspect(container))",
        "return self._engine.inspect(container)",
        1257,
    ),
    "believe inspections for ever": Mutation(
        "reconciler.control.controller",
        "        self._observer.forget_all()\n        self._reader.doubt()\n",
        "        self._reader.doubt()\n",
        260,
    ),
}


class _Planter(MetaPathFinder, Loader):
    """Imports one module with a bug in it."""

    def __init__(self, mutation: Mutation) -> None:
        self._mutation = mutation

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:  # noqa: ARG002
        if fullname != self._mutation.module:
            return None
        found = PathFinder.find_spec(fullname, path)  # type: ignore[arg-type]
        assert found is not None
        assert isinstance(found.loader, SourceFileLoader)
        self._source = found.loader.get_source(fullname) or ""
        self._path = found.loader.path
        return ModuleSpec(fullname, self, origin=self._path)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:  # noqa: ARG002
        return None

    def exec_module(self, module: ModuleType) -> None:
        mutation = self._mutation
        assert self._source.count(mutation.right) == 1, f"not once in {mutation.module}: {mutation.right}"
        mutated = self._source.replace(mutation.right, mutation.wrong)
        exec(compile(mutated, self._path, "exec"), module.__dict__)  # noqa: S102 - that is what it is for


def plant(name: str) -> None:
    """Must come before anything of reconciler is imported."""
    assert not any(module.startswith("reconciler") for module in sys.modules)
    sys.meta_path.insert(0, _Planter(MUTATIONS[name]))


def main(name: str, seeds: int, first: int) -> int:
    """Returns 0 when the bug is found."""
    plant(name)
    import logging

    from tests.simulation.seeds import play

    logging.disable(logging.CRITICAL)
    for seed in range(first, first + seeds):
        if violation := play(seed).violation:
            print(f"{seed} {violation}")
            return 0
    print(f"not found in {seeds} seeds")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0))
