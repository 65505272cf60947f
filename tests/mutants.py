"""Random small mistakes in `planning`, one at a time: what nothing notices is not tested.

A mutant lives only in the memory of a process of its own, which runs the unit tests of planning and then stories of the
simulation. It is killed when one of them fails, or when they hang. Sentences stay as they are, and so do the numbers at
the top of a module: they are choices, and a test could only repeat them. A seed draws the same mutants for as long as
the code in which they are stays the same.

python -m tests.mutants COUNT [SEED]
"""

import ast
import logging
import os
import random
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import takewhile
from multiprocessing import get_context
from pathlib import Path
from textwrap import indent
from types import ModuleType
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
STORIES = 600
HANGS = 4
"""What takes so many times as long as without a mutant."""

FORKS = get_context("forkserver")
PRELOADED = ["pytest", "reconciler.engine.docker.client", "reconciler.sources.directory", "reconciler.report.store"]
"""What no mutant is in, imported once for all of them."""

EQUIVALENT: dict[str, str] = {}
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
        code = [*lines[: statement.lineno - 1], indent(after, margin), *lines[statement.end_lineno :]]
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


def unit_tests(module: str) -> list[str]:
    """Those of planning: those of the module first, and those that play the whole house last, as they take longest."""
    texts = {path: path.read_text() for path in sorted((ROOT / "tests" / "unit").glob("test_*.py"))}
    about = [path for path, text in texts.items() if "reconciler.planning" in text or "tests.scene" in text]
    order = sorted(about, key=lambda path: (path.stem != f"test_{module}", "tests.house" in texts[path]))
    return [str(path) for path in order]


def examine(mutant: Mutant | None) -> None:
    """Ends its process, with 0 when nothing is noticed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())
    if mutant:
        plant(mutant)
    for file in unit_tests(mutant.path.stem if mutant else ""):
        if pytest.main(["-qx", "-p", "no:cacheprovider", file]):
            sys.exit(1)
    from tests.simulation.seeds import play  # it imports planning

    logging.disable(logging.CRITICAL)
    sys.exit(any(play(seed).violation for seed in range(STORIES)))


def plant(mutant: Mutant) -> None:
    """In the place of the module, which nobody has imported yet."""
    import reconciler.planning as package

    name = f"{package.__name__}.{mutant.path.stem}"
    assert name not in sys.modules
    module = sys.modules[name] = ModuleType(name)
    setattr(package, mutant.path.stem, module)
    exec(compile(mutant.code, mutant.path, "exec"), vars(module))  # noqa: S102


def survives(mutant: Mutant | None, seconds_max: float | None = None) -> bool:
    process = FORKS.Process(target=examine, args=(mutant,))
    process.start()
    process.join(seconds_max)
    process.kill()
    process.join()
    return process.exitcode == 0


def main(count: int, seed: int) -> int:
    """Returns 0 when all of them are killed."""
    every = [mutant for path in sorted((ROOT / "reconciler" / "planning").glob("*.py")) for mutant in mutants_of(path)]
    print(f"{count} of {len(every)} mutants, SEED={seed}", flush=True)
    if unknown := EQUIVALENT.keys() - {mutant.name for mutant in every}:
        print("EQUIVALENT names what is no mutant of anything:", *sorted(unknown), sep="\n  ")
        return 1
    begun = time.monotonic()
    if not survives(None):
        print("The tests fail without a mutant: they would kill each.")
        return 1
    seconds_max = HANGS * (time.monotonic() - begun)
    known = [mutant for mutant in every if mutant.name not in EQUIVALENT]
    drawn = sorted(known, key=lambda mutant: sha256(f"{seed} {mutant.name}".encode()).digest())[:count]
    survivors = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for mutant, alive in zip(drawn, pool.map(lambda one: survives(one, seconds_max), drawn), strict=True):
            if alive:
                print(f"{mutant.path.relative_to(ROOT)}:{mutant.line}: {mutant.name}", flush=True)
                survivors += 1
    print(f"{survivors} survive")
    return 1 if survivors else 0


if __name__ == "__main__":
    FORKS.set_forkserver_preload(PRELOADED)
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)))  # noqa: S311
