"""Everything outside that the controller uses; a simulation passes in its own."""

import os
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler.control.clock import Clock, SystemClock
from reconciler.control.disk_meter import DiskMeter
from reconciler.control.exclusive import Exclusive
from reconciler.control.log_collector import LogCollector
from reconciler.control.parallel import ParallelMap, over_threads
from reconciler.control.service_manager import ServiceManager
from reconciler.control.settings import Settings
from reconciler.engine.host import EngineHost
from reconciler.engine.protocol import Engine
from reconciler.model.desired import Desired
from reconciler.report.journal import Journal
from reconciler.report.metrics import Metrics
from reconciler.report.store import Store
from reconciler.sources.directory import Directory
from reconciler.spec.policy import Policy


@dataclass(frozen=True, slots=True)
class Dependencies:
    """`read_policy` and `scan` raise what `Settings.policy` and `Directory.scan` raise.

    `secret` is known to this controller only, and never written. `draw_seed` is asked once a pass, for its ports. What
    `credentials` returns changes with those for registries.
    """

    settings: Settings
    engine: Engine
    host: EngineHost
    read_policy: Callable[[], Policy]
    scan: Callable[[], Desired]
    store: Store
    journal: Journal
    log_collector: LogCollector
    disk: DiskMeter
    metrics: Metrics
    clock: Clock = field(default_factory=SystemClock)
    draw_seed: Callable[[], int] = lambda: random.getrandbits(64)
    credentials: Callable[[], object] = lambda: None
    secret: bytes = field(default_factory=secrets.token_bytes, repr=False)
    parallel_map: ParallelMap = over_threads
    exclusive: Exclusive = field(default_factory=Exclusive)
    manager: ServiceManager = field(default_factory=lambda: ServiceManager({}))

    @classmethod
    def real(cls, settings: Settings, engine: Engine) -> "Dependencies":
        """This host's files, clock and threads."""
        return cls(
            settings=settings,
            engine=engine,
            host=settings.engine_host,
            read_policy=settings.policy,
            scan=Directory(settings.directory).scan,
            store=Store(settings.state),
            journal=Journal(settings.state / "journal.jsonl"),
            log_collector=LogCollector(engine, settings.state / "logs"),
            disk=DiskMeter(engine),
            metrics=Metrics(settings.state / "metrics.prom"),
            credentials=settings.registries_changed,
            manager=ServiceManager(os.environ),
        )
