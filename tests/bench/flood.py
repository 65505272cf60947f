"""Row 14: what a sandbox costs the controller that says as much as it can."""

import time
from collections.abc import Iterator

from tests.bench.idle import Spent, settle
from tests.bench.measure import Sample
from tests.bench.place import Place
from tests.bench.table import Goal, Line
from tests.system.faults.proxy import Proxy

WATCHED_SECONDS = 20


def flood(place: Place) -> Iterator[Line]:
    """CPU in percent of one core, where the policy lets it say more than is ever copied."""
    place.clear()
    operator = place.operator()
    operator.decree(limits={"log_rate": "1g"})
    operator.declare("loud", command=["yes"], network_mode="none")
    with Proxy(place.engine.host, place.root / "proxy.sock") as proxy:
        operator.host = proxy.host
        with operator.run() as process:
            settle(operator)
            before = Spent.by(process.pid, proxy)
            time.sleep(WATCHED_SECONDS)
            spent = Spent.by(process.pid, proxy).since(before)
    place.clear()
    cpu = Sample((100 * spent.cpu_seconds / WATCHED_SECONDS,), "%")
    yield Line(14, "a sandbox that says `yes` for ever: CPU", cpu, goal=Goal(plus=10))
