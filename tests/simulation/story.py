"""What happens in one simulation, step by step: drawn from a seed, or cut down from another story."""

import random
from dataclasses import dataclass
from typing import Any

MISSING_IMAGE = "missing:1"
PRIVATE_IMAGE = "private:1"
FIXED_PORT = 18080

NAMES = ("a", "b", "c", "d", "e", "f", "g")

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "small": {"mem_limit": "256m"},
    "full": {"mem_limit": "512m"},
    "other image": {"image": "app:2"},
    "missing image": {"image": MISSING_IMAGE},
    "once": {"restart": "no"},
    "once, stopped": {"restart": "no", "state": "stopped"},
    "on failure, another value": {"restart": "on-failure", "environment": {"PIN": "2"}},
    "stopped": {"state": "stopped"},
    "suspended": {"suspend": "somebody looks at it"},
    "greedy": {"mem_limit": "1g"},
    "fixed port": {"ports": [{"target": 3000, "published": FIXED_PORT}]},
    "health": {"healthcheck": {"test": ["CMD", "true"]}},
    "health, once": {"healthcheck": {"test": ["CMD", "true"]}, "restart": "no"},
    "alone": {"network_mode": "none", "hostname": "alone", "stop_signal": "INT"},
    "restless image": {"image": "restless:1"},
    "loud image": {"image": "loud:1"},
    "volume, read-only": {"image": "volume:1", "read_only": True},
    "volume": {"volumes": [{"source": "/srv/data", "target": "/data"}]},
}

SELDOM = {"private image": {"image": PRIVATE_IMAGE}}
"""Variants that only some stories have."""

POLICIES: dict[str, dict[str, Any] | None] = {
    "built-in": {},
    "three": {"sandboxes_max": 3},
    "two": {"sandboxes_max": 2},
    "none": {"sandboxes_max": 0},
    "tight": {"limits": {"mem_limit": "256m"}},
    "labelled": {"labels": {"team": "blue"}},
    "report": {"limits": {"mem_limit": "256m"}, "on_violation": "report"},
    "careful": {"removals": {"max": 1, "share": 0.2}},
    "hasty": {"removals": {"max": 1, "share": 0.5, "window": "1m"}, "sandboxes_max": 7},
    "much disk": {"limits": {"disk": "4g"}},
    "few ports": {"published": "9000-9099"},
    "one at a time": {"replacements": {"max_parallel": 1}, "labels": {"team": "red"}},
    "broken": None,
}

FAULTS = ("kill before", "kill after", "lost call", "lost reply", "late", "partial")
DRIFTS = ({"Memory": 1 << 30}, {"Privileged": True}, {"PidsLimit": 0}, {"RestartPolicy": {"Name": "always"}})


@dataclass(frozen=True)
class Step:
    """`what` names a method of `Simulation`, most of them in `Steps`; `how` are its arguments."""

    what: str
    how: tuple[object, ...] = ()

    def __str__(self) -> str:
        return f"{self.what} {' '.join(map(str, self.how))}".rstrip()


def tell(seed: int, length: int = 120) -> list[Step]:
    """The story of a seed. It begins with some files, so that there is something to go wrong."""
    dice = random.Random(seed)  # noqa: S311 - it must be the same every time
    faulty = dice.random() < 0.8
    story = [Step("declare", (name, "plain")) for name in NAMES[: dice.randint(1, len(NAMES))]]
    while len(story) < length:
        kinds = list(WEIGHTS if faulty else CALM)
        weights = [(WEIGHTS if faulty else CALM)[kind] for kind in kinds]
        story += _steps(dice.choices(kinds, weights)[0], dice)
    story = _interrupted(story, random.Random(f"another engine {seed}"))  # noqa: S311
    story = _with_a_login(story, random.Random(f"login {seed}"))  # noqa: S311
    story = _with_a_raised_limit(story, random.Random(f"limit {seed}"))  # noqa: S311
    return _with_requests(story, random.Random(f"request {seed}"))  # noqa: S311


def _with_a_raised_limit(story: list[Step], dice: random.Random) -> list[Step]:
    """In one of ten, towards the end, limits are raised behind the engine's back; some files are broken then."""
    if dice.random() < 0.9:
        return story
    begin, number = len(story) - dice.randrange(20), dice.randrange(8)
    held = [Step("spoil", (name,)) for name in dice.sample(NAMES, dice.randrange(4))]
    looked = [Step("resync"), Step("work"), *[Step("planned", (number,))] * dice.randrange(8), Step("work")]
    raised = [Step("raise_limit", (number + one,)) for one in range(4)]
    return [*story[:begin], *held, Step("work"), *raised, *looked * dice.randrange(2), *story[begin:]]


def _with_a_login(story: list[Step], dice: random.Random) -> list[Step]:
    """In one of ten, an image is wanted for which there are credentials later, and perhaps no more then."""
    if dice.random() < 0.9:
        return story
    name, begin = dice.choice(NAMES), dice.randrange(len(story))
    pulls = [Step("work"), Step("planned", (0,)), Step("planned", (0,)), Step("work"), Step("wait", (1,))]
    changed = [Step("log_in", (True,)), Step("work")], [Step("declare", (name, "plain")), Step("work")]
    wanted = [Step("declare", (name, "private image")), *pulls * dice.randrange(1, 4), Step("work")]
    return [*story[:begin], *wanted, *dice.choice(changed), *pulls, *story[begin:]]


def _interrupted(story: list[Step], dice: random.Random) -> list[Step]:
    """In one of ten, another engine answers for a while; all else is as it was."""
    if dice.random() < 0.9:
        return story
    begin = dice.randrange(len(story))
    end = begin + dice.randrange(2, 40)
    away, back = (Step("another_engine", (answers,)) for answers in (True, False))
    return [*story[:begin], away, *story[begin:end], back, *story[end:]]


def _with_requests(story: list[Step], dice: random.Random) -> list[Step]:
    """In one of three, people ask for something now and then."""
    for _ in range(dice.choice((4, 8)) if dice.random() < 1 / 3 else 0):
        what, name = dice.choice(("restart", "retry", "down", "restart")), dice.choice(NAMES[:4])
        plans = [Step("work"), *(Step("planned", (number,)) for number in (0, 1, 2, 3, 0, 1, 2, 3)), Step("work")]
        failed = [Step("declare", (name, "missing image")), *plans, *plans] if what == "retry" else []
        begin = dice.randrange(len(story))
        story = [*story[:begin], *failed, Step("ask", (what, name)), Step("work"), *story[begin:]]
    return story


CALM = {"work": 20, "planned": 40, "hear": 12, "declare": 8, "delete": 3, "wait": 8, "exit": 4}
WEIGHTS = {
    **CALM,
    "spoil": 3,
    "rename": 1,
    "misname": 2,
    "git": 2,
    "empty": 1,
    "replace_directory": 1,
    "hide_directory": 2,
    "decree": 3,
    "fault": 8,
    "engine": 2,
    "drift": 2,
    "pause": 1,
    "remove_by_force": 2,
    "stranger": 1,
    "second_network": 1,
    "give_name": 2,
    "other_source": 1,
    "lost, renamed and changed": 2,
    "mistake": 1,
    "health": 1,
    "sicken": 2,
    "restart": 2,
    "set_clock": 1,
    "deaf": 1,
    "approve": 2,
    "happen_late": 3,
    "resync": 1,
    "burst": 4,
    "half": 2,
    "purge": 1,
    "trickle": 1,
    "add while a removal waits": 1,
    "new and gone": 1,
    "halt": 1,
    "late start": 2,
    "exchange": 2,
    "fill": 2,
    "chatter": 2,
}


def _steps(kind: str, dice: random.Random) -> list[Step]:  # noqa: C901 - one case for each kind
    name, number = dice.choice(NAMES), dice.randrange(8)
    match kind:
        case "declare":
            variants, weights = list(VARIANTS), [6, 4, 2, *[1] * (len(VARIANTS) - 3)]
            return [Step(kind, (name, dice.choices(variants, weights)[0]))]
        case "spoil" | "delete" | "misname":
            return [Step(kind, (name,))]
        case "rename":
            return [Step(kind, (name, dice.choice(NAMES)))]
        case "hide_directory":
            return [Step(kind, (dice.random() < 0.4,))]
        case "decree":
            return [Step(kind, (dice.choice(list(POLICIES)),))]
        case "fault":
            return [Step(kind, (dice.choice(FAULTS), dice.randrange(6)))]
        case "git":
            return [Step(kind, (dice.random() < 0.4,))]
        case "engine":
            return [Step(kind, (dice.choices(("up", "down", "weaker"), (5, 4, 1))[0],))]
        case "drift":
            return [Step(kind, (number, dice.randrange(len(DRIFTS)))), *([Step("deaf")] if dice.random() < 0.5 else [])]
        case "exit":
            return [Step(kind, (number, dice.choice((0, 1, 137)), dice.random() < 0.2))]
        case "fill":
            collect = [Step("resync"), Step("work")] if dice.random() < 0.5 else []
            return [Step(kind, (number, dice.choice((1, 3)))), *collect]
        case "health":
            return [Step(kind, (number, dice.choice(("healthy", "unhealthy"))))]
        case "sicken":
            variant, planned = dice.choice(("health", "health", "health, once")), Step("planned", (number,))
            begun = [Step("declare", (name, variant)), *[Step("work"), planned, planned] * 2, Step("work")]
            ill = [
                Step("sicken", (name,)),
                Step("hear"),
                Step("work"),
                planned,
                planned,
                planned,
                planned,
                Step("work"),
            ]
            return [*begun, *ill, *ill, Step("wait", (dice.choice((0.1, 1, 5)),)), *ill]
        case "restart":
            return [Step(kind, (dice.choices(("kept", "lost", "corrupt"), (6, 2, 2))[0], number))]
        case "set_clock":
            return [Step(kind, (dice.choice((-3600, 3600)),))]
        case "wait":
            return [Step(kind, (dice.choices((0.1, 1, 5, 70, 700), (4, 4, 4, 4, 1))[0],))]
        case "mistake":
            return [
                Step(kind, (number,)),
                Step("work"),
                Step("planned", (number,)),
                Step("work"),
                Step("mistake", (-1,)),
            ]
        case "lost, renamed and changed":
            changed = [Step("give_name", (number,)), Step("drift", (number, dice.randrange(len(DRIFTS))))]
            plans = [Step("planned", (dice.randrange(8),)) for _ in range(8)]
            return [*changed, Step("restart", ("lost", 0)), Step("work"), *plans]
        case "give_name":
            return [Step(kind, (number,)), *([Step("restart", ("lost", 0))] if dice.random() < 0.3 else [])]
        case "planned" | "pause" | "chatter" | "remove_by_force" | "stranger" | "other_source":
            return [Step(kind, (number,))]
        case "burst":
            return [Step("work"), *(Step("planned", (number,)) for _ in range(dice.randrange(2, 6)))]
        case "half":
            variant = dice.choice(list(VARIANTS))
            return [
                Step("declare", (name, variant)),
                Step("fault", ("partial", 0)),
                Step("work"),
                Step("planned", (number,)),
            ]
        case "purge":
            deletions = [Step("delete", (one,)) for one in dice.sample(NAMES, len(NAMES))]
            collect = [Step("wait", (1,)), Step("work")]
            return [*deletions[:4], *collect, *collect, Step("approve"), *deletions[4:], *collect, *collect]
        case "trickle":
            collect = [Step("wait", (2,)), Step("work"), Step("work"), *(Step("planned", (one,)) for one in range(4))]
            return [step for one in dice.sample(NAMES, len(NAMES)) for step in (Step("delete", (one,)), *collect)]
        case "add while a removal waits":
            names = dice.sample(NAMES, len(NAMES))
            collect = [Step("wait", (1,)), Step("work"), Step("work")]
            gone, added = (
                [Step("delete", (one,)) for one in names[:4]],
                [Step("declare", (one, "plain")) for one in names[4:]],
            )
            return [*gone, *collect, *added, *collect, *(Step("planned", (one,)) for one in range(6)), *collect]
        case "new and gone":
            collect = [Step("work"), *(Step("planned", (0,)) for _ in range(12)), Step("work")]
            new = [Step("declare", (one, "plain")) for one in NAMES]
            lost = [Step("wait", (70,)), Step("work"), Step("restart", ("corrupt", 99))] if dice.random() < 0.3 else []
            gone = [Step("delete", (one,)) for one in dice.sample(NAMES, 3)]
            return [Step("decree", ("hasty",)), *new, *collect, *collect, *lost, *gone, Step("wait", (1,)), *collect]
        case "late start":
            planned = Step("planned", (number,))
            first = [
                Step("declare", (name, "plain")),
                Step("work"),
                planned,
                planned,
                Step("fault", ("late", 0)),
                planned,
            ]
            return [*first, Step("declare", (name, "small")), *[Step("work"), planned] * 4, Step("happen_late")]
        case "exchange":
            planned = Step("planned", (number,))
            first = [
                Step("declare", (name, "volume")),
                Step("work"),
                *[planned] * dice.randrange(4),
                Step(kind, (True,)),
            ]
            unheard = [Step("fault", ("lost reply", 0))] if dice.random() < 0.4 else []
            return [*first, *unheard, planned, Step(kind, (False,)), *[planned] * dice.randrange(4), Step("work")]
        case "halt":
            plans = [Step("planned", (number,)) for number in range(4)]
            return [
                step
                for variant in ("once", "once, stopped", "once")
                for step in (Step("declare", (name, variant)), Step("work"), *plans, Step("work"))
            ]
    return [Step(kind)]
