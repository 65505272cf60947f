"""Random small mistakes in `planning`, one at a time: what nothing notices is not tested.

The unit tests are collected once, and played once to learn which functions each of them calls. Then each mutant is put
in a fork of this process, in which those tests are played that call what it changes, the quickest first, and after them
stories of the simulation. It is killed when one of them fails, or when they hang. Sentences stay as they are, and so do
the numbers at the top of a module: they are choices, and a test could only repeat them. A seed draws the same mutants
for as long as the code in which they are stays the same.

python -m tests.mutants COUNT [SEED]
"""

import ast
import logging
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from functools import cached_property
from hashlib import sha256
from itertools import takewhile
from pathlib import Path
from textwrap import indent
from types import CodeType, FrameType, FunctionType
from typing import Any, NamedTuple

import pytest

from tests.simulation.seeds import play

ROOT = Path(__file__).parent.parent
PLANNING = ROOT / "reconciler" / "planning"
STORIES = 600
SECONDS_MAX = 300
"""After which a mutant hangs."""

TEST_SECONDS_MAX = 2
"""Tests that take longer are left out: what they wait for would be waited for again and again."""

EQUIVALENT = {
    "_knobs: Mismatch('user', 'not root', said('user', spec.user)) -> "
    "Mismatch('user', 'not root', said('', spec.user))": "a user is said as any text is",
    "user_refused:  [int(one) if one.isdecimal() else 0 for one in user.split(':')] -> "
    " [int(one) if one.isdecimal() else 1 for one in user.split(':')]": "1 is refused as 0 is: uid_min is never less",
    "_hurried:  not any((isinstance(action, Stop) and action.grace_seconds > FORCED_GRACE_SECONDS for action in "
    "planned.actions)): r ->  not any((isinstance(action, Stop) for action in planned.actions)): r": "it spares work",
    "_condition: if (before.reason, before.message) == (reason, message): return before -> pass": "it spares work",
    "effective: g := getattr(policy.limits, key)) < getattr(said, key)} -> "
    "g := getattr(policy.limits, key)) <= getattr(said, key)}": "what is lowered to itself stays as it is",
    "effective: urn said.model_copy(update=lowered) if lowered else said -> "
    "urn said.model_copy(update=lowered)": "a copy is equal",
    "delay_seconds: T_SECONDS * 2.0 ** min(doublings, 20), MAX_SECONDS) -> "
    "T_SECONDS * 2.0 ** min(doublings, 21), MAX_SECONDS)": "either is longer than the longest wait",
}
"""By name, why nothing can tell the mutant from what is meant."""

SWAPPED = [
    *((ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.Is, ast.IsNot), (ast.In, ast.NotIn)),
    *((ast.Add, ast.Sub), (ast.Mult, ast.Div), (ast.BitOr, ast.BitAnd)),
]
OTHER = {one: other for pair in SWAPPED for one, other in (pair, pair[::-1])}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
ONE_LESS = {(ast.BoolOp, "values"), (ast.Set, "elts"), (ast.Call, "keywords"), (ast.comprehension, "ifs")}
UNTOUCHED = {"annotation", "returns", "decorator_list", "ctx"}
TOLD = 35
"""Characters of what stands before and after a change."""


class Mutant(NamedTuple):
    """`name` says where it is by the function and by what stands around: it stays the same when lines move."""

    path: Path
    line: int
    name: str
    code: str


def mutants_of(path: Path) -> Iterator[Mutant]:
    lines = path.read_text().splitlines()
    for function, statement, after in _changes(ast.parse(path.read_text()), ""):
        margin = " " * statement.col_offset
        lost = (statement.end_lineno or 0) - statement.lineno - after.count("\n")
        code = [*lines[: statement.lineno - 1], indent(after, margin), *[""] * lost, *lines[statement.end_lineno :]]
        yield Mutant(path, statement.lineno, f"{function}: {_difference(statement, after)}", "\n".join(code))


def _changes(node: ast.AST, function: str, statement: ast.stmt | None = None) -> Iterator[tuple[str, ast.stmt, str]]:
    """The function, the statement, and its code when it is changed."""
    function = node.name if isinstance(node, ast.FunctionDef) else function
    for field, value in ast.iter_fields(node):
        parts = value if isinstance(value, list) else [value]
        for index, part in enumerate(parts):
            if field in UNTOUCHED or _is_type_or_docstring(part):
                continue
            for others in _in_place_of(part, node, field, is_choice=not function):
                assert statement
                setattr(node, field, [*parts[:index], *others, *parts[index + 1 :]] if parts is value else others[0])
                after = ast.unparse(statement)
                setattr(node, field, value)
                yield function, statement, after
            is_elif = field == "orelse" and isinstance(part, ast.If)
            within = part if isinstance(part, ast.stmt) and not is_elif else statement
            if isinstance(part, ast.AugAssign | ast.Continue | ast.Expr | ast.If) and not is_elif:
                yield function, part, "pass"
            if isinstance(part, ast.AST):
                yield from _changes(part, function, within)


def _is_type_or_docstring(part: object) -> bool:
    if isinstance(part, ast.Subscript):
        return isinstance(part.slice, ast.Tuple)
    return isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)


def _in_place_of(part: object, owner: ast.AST, field: str, *, is_choice: bool) -> Iterator[list[ast.AST]]:
    """One other, or nothing."""
    yield from ([other] for other in _others(part, is_choice=is_choice))
    if (type(owner), field) in ONE_LESS and not (isinstance(part, ast.keyword) and part.arg is None):
        yield []
    if field in {"test", "ifs", "guard"} and isinstance(part, ast.Name | ast.Attribute | ast.Call | ast.NamedExpr):
        yield [ast.UnaryOp(ast.Not(), part)]
    if isinstance(owner, ast.Return) and isinstance(part, ast.expr) and not isinstance(part, ast.Constant):
        yield [ast.Constant(None)]


def _others(part: object, *, is_choice: bool) -> Iterator[ast.AST]:
    match part:
        case ast.operator() | ast.cmpop() if type(part) in OTHER:
            yield OTHER[type(part)]()
        case ast.UnaryOp(ast.Not(), operand):
            yield operand
        case ast.IfExp(_, body, orelse):
            yield body
            yield orelse
        case ast.Name(name) if name in NAMES:
            yield ast.Name(NAMES[name])
        case ast.Dict(keys, values):
            for one in range(len(keys)):
                yield ast.Dict(keys[:one] + keys[one + 1 :], values[:one] + values[one + 1 :])
        case ast.Constant(bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(int(value) | float(value)) if not is_choice:
            yield ast.Constant(value + 1)
        case ast.Constant(str(value)) if value.isidentifier() and not is_choice:
            yield ast.Constant("")


def _difference(statement: ast.stmt, changed: str) -> str:
    """What is before and after, without what both begin and end with, but for some words to know the place by."""
    before, after = " ".join(ast.unparse(statement).split()), " ".join(changed.split())
    start = max(0, _alike(before, after) - TOLD)
    before, after = before[start:], after[start:]
    end = max(0, _alike(before[::-1], after[::-1]) - TOLD)
    return f"{before[: len(before) - end]} -> {after[: len(after) - end]}"


def _alike(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def unit_tests() -> list[str]:
    """Those that have to do with planning."""
    files = sorted((ROOT / "tests" / "unit").glob("test_*.py"))
    about = ("reconciler.planning", "tests.scene", "tests.house")
    return [str(file) for file in files if any(name in file.read_text() for name in about)]


OF_A_FUNCTION = ("__code__", "__defaults__", "__kwdefaults__")


class Test(NamedTuple):
    """`calls` are the functions of planning that it calls."""

    item: pytest.Item
    seconds: float
    calls: frozenset[CodeType]


class Sweep:
    """A plugin of pytest that plays the tests for each of the mutants, in place of once."""

    def __init__(self, mutants: list[Mutant]) -> None:
        self.mutants = mutants
        self.survivors = 0
        self.failing: list[str] = []
        """Tests that fail without a mutant: they would kill each."""

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        tests = [test for test in map(self._learn, session.items) if test.seconds < TEST_SECONDS_MAX]
        tests.sort(key=lambda test: test.seconds)
        under_way: dict[int, Mutant] = {}
        for mutant in [] if self.failing else self.mutants:
            if len(under_way) == os.cpu_count():
                self._await_one(under_way)
            under_way[fork(mutant, tests)] = mutant
        while under_way:
            self._await_one(under_way)
        return True

    def _learn(self, item: pytest.Item) -> Test:
        calls, begun = set[CodeType](), time.monotonic()

        def note(frame: FrameType, event: str, _: object) -> None:
            if event == "call" and is_ours(frame.f_code):
                calls.add(frame.f_code)

        threading.setprofile(note)
        sys.setprofile(note)
        if not passes(item):
            self.failing.append(item.nodeid)
        sys.setprofile(None)
        threading.setprofile(None)
        return Test(item, time.monotonic() - begun, frozenset(calls))

    def _await_one(self, under_way: dict[int, Mutant]) -> None:
        process, status = os.wait()
        mutant = under_way.pop(process)
        if status == 0:
            self.survivors += 1
            print(f"{mutant.path.relative_to(ROOT)}:{mutant.line}: {mutant.name}", file=sys.__stdout__, flush=True)


def is_ours(code: CodeType) -> bool:
    return code.co_filename.startswith(str(PLANNING))


def passes(item: pytest.Item) -> bool:
    session, failed = item.session, item.session.testsfailed
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
    return session.testsfailed == failed


def fork(mutant: Mutant, tests: list[Test]) -> int:
    """The process of the mutant, which ends with 0 when nothing notices it."""
    if process := os.fork():
        return process
    try:
        signal.alarm(SECONDS_MAX)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        os._exit(is_noticed(mutant, tests))
    finally:
        os._exit(1)


def is_noticed(mutant: Mutant, tests: list[Test]) -> bool:
    changed = plant(mutant)
    if not all(passes(test.item) for test in tests if not changed or changed & test.calls):
        return True
    logging.disable(logging.CRITICAL)
    return any(play(seed).violation for seed in range(STORIES))


def plant(mutant: Mutant) -> set[CodeType]:
    """Into the module that everybody has imported. Returns what functions were; empty when it changes a value.

    What other modules have made of such a value stays as it was.
    """
    name = f"{PLANNING.parent.name}.{PLANNING.name}.{mutant.path.stem}"
    mutated: dict[str, Any] = {"__name__": name}
    exec(compile(mutant.code, mutant.path, "exec"), mutated)  # noqa: S102
    found = [_put(key, meant, mutated[key]) for key, meant in list(vars(sys.modules[name]).items()) if key in mutated]
    return {code for codes in found for code in codes}


def _put(name: str, meant: Any, mutated: Any) -> Iterator[CodeType]:
    """In the place of what is meant: functions and methods by what they do, values by their name in each module."""
    match meant, mutated:
        case _ if meant is mutated:
            pass
        case FunctionType(), FunctionType():
            was = [getattr(meant, part) for part in OF_A_FUNCTION]
            for part in OF_A_FUNCTION:
                setattr(meant, part, getattr(mutated, part))
            if was != [getattr(meant, part) for part in OF_A_FUNCTION] and is_ours(was[0]):
                yield was[0]
        case property(), property():
            yield from _put(name, meant.fget, mutated.fget)
        case cached_property(), cached_property():
            yield from _put(name, meant.func, mutated.func)
        case type(), type():
            for key in vars(meant).keys() & vars(mutated).keys():
                yield from _put(key, vars(meant)[key], vars(mutated)[key])
        case _ if meant != mutated:
            for module in list(sys.modules.values()):
                if getattr(module, name, None) is meant:
                    setattr(module, name, mutated)


def main(count: int, seed: int) -> int:
    """Returns 0 when all of them are killed."""
    every = [mutant for path in sorted(PLANNING.glob("*.py")) for mutant in mutants_of(path)]
    print(f"{count} of {len(every)} mutants, SEED={seed}", flush=True)
    if unknown := EQUIVALENT.keys() - {mutant.name for mutant in every}:
        print("EQUIVALENT names what is no mutant of anything:", *sorted(unknown), sep="\n  ")
        return 1
    known = [mutant for mutant in every if mutant.name not in EQUIVALENT]
    drawn = sorted(known, key=lambda mutant: sha256(f"{seed} {mutant.name}".encode()).digest())[:count]
    sweep = Sweep(drawn)
    options = ["-pno:cacheprovider", "-pno:terminal", "--capture=sys", "-Wignore::pytest.PytestAssertRewriteWarning"]
    ini = ["addopts=--import-mode=importlib", "timeout=0", "tmp_path_retention_policy=failed"]
    pytest.main([*options, *(f"-o{one}" for one in ini), *unit_tests()], plugins=[sweep])
    if sweep.failing:
        print("These fail without a mutant:", *sweep.failing, sep="\n  ")
        return 1
    print(f"{sweep.survivors} survive")
    return 1 if sweep.survivors else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)))  # noqa: S311
