"""Row 10: how often the engine is asked, counted between the controller and the engine.

The fewest that could do it:

- A pass asks for one list, as only the engine knows what there is. A pass finds what is to be done, and one looks
  afterwards at what came of it.
- What is created is created on the engine that is pinned, so right before that it says which one it is.
- What is created must be verified before it starts (one inspection), and looked at once it runs (another), as its
  addresses and state are not there before. Its log is followed from its start.
- What replaces another is verified twice: before the old one is stopped, and right before its own start.
- The output of what is stopped is read to its end, which a log that is followed may miss, before it is removed.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator

from tests.bench.idle import settle, tick
from tests.bench.measure import Sample, say
from tests.bench.place import USUAL, Place
from tests.bench.table import Goal, Line
from tests.system.conftest import version
from tests.system.faults.proxy import Proxy

LIST = "GET /containers/json"
INSPECT = "GET /containers/ID/json"
LOGS = "GET /containers/ID/logs"
IDENTITY = "GET /info"
CREATE = "POST /containers/create"
START = "POST /containers/ID/start"
STOP = "POST /containers/ID/stop"
REMOVE = "DELETE /containers/ID"

FEWEST = {
    "idle pass": Counter([LIST]),
    "created sandbox": Counter([LIST, IDENTITY, CREATE, INSPECT, START, LOGS, LIST, INSPECT]),
    "replaced sandbox": Counter(
        [LIST, IDENTITY, CREATE, INSPECT, STOP, INSPECT, START, LOGS, REMOVE, LOGS, LIST, INSPECT]
    ),
    "removed sandbox": Counter([LIST, STOP, LOGS, REMOVE, LIST]),
}


def per_sandbox(place: Place, rounds: int) -> Iterator[Line]:
    """With one sandbox beside it, so that nothing is made for the first time."""
    place.clear()
    operator = place.operator()
    operator.declare("s0", **USUAL)
    counted: dict[str, list[Counter[str]]] = {what: [] for what in FEWEST}
    with Proxy(place.engine.host, place.root / "proxy.sock") as proxy:
        operator.host = proxy.host

        def calls_of(change: Callable[[], None]) -> Counter[str]:
            before = len(proxy.calls)
            change()
            time.sleep(0.5)
            settle(operator)
            return Counter(proxy.calls[before:])

        with operator.run():
            operator.until_phase(s0="Running")
            settle(operator)
            for number in range(rounds):
                say(f"row 10: round {number + 1} of {rounds}")
                for what, change in {
                    "idle pass": lambda: tick(operator),
                    "created sandbox": lambda: operator.declare("new", **USUAL),
                    "replaced sandbox": lambda: operator.declare("new", **USUAL, **version(2)),
                    "removed sandbox": lambda: operator.remove("new"),
                }.items():
                    counted[what].append(calls_of(change))
    place.clear()
    for what, fewest in FEWEST.items():
        ours = Sample(tuple(float(calls.total()) for calls in counted[what]), "")
        reference = Sample((float(fewest.total()),), "")
        extra = min((calls - fewest for calls in counted[what]), key=Counter.total)
        beyond = ", ".join(f"{call} {times}" for call, times in sorted(extra.items()))
        yield Line(10, f"engine calls, {what}", ours, "fewest", reference, Goal(1), beyond and f"avoidable: {beyond}")
