"""`metrics.prom`: metrics for Prometheus, written for the textfile collector of node_exporter."""

import logging
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    write_to_textfile,
)

from reconciler.model.plan import Outcome, Pull
from reconciler.model.status import ControllerStatus, Phase, SandboxStatus

log = logging.getLogger(__name__)

PASS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
PULL_SECONDS = (1, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """Counters start at 0 with each controller. Durations are in seconds, timestamps in seconds since the epoch."""

    def __init__(self, path: Path) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._path, self._failing = path, False
        self._registry = registry = CollectorRegistry()
        gauge, counter = partial(Gauge, registry=registry), partial(Counter, registry=registry)
        histogram = partial(Histogram, registry=registry)
        self._available = gauge("reconciler_engine_available", "Whether the engine answers.")
        self._scanned = gauge("reconciler_last_scan_timestamp_seconds", "When the directory was last read as a whole.")
        self._passed = gauge("reconciler_last_pass_timestamp_seconds", "When the last pass ended.")
        self._passes = histogram(
            "reconciler_pass_duration_seconds",
            "How long the passes took, without what they set off.",
            buckets=PASS_SECONDS,
        )
        self._limit = gauge("reconciler_sandboxes_max", "How many may run at the same time.")
        self._phases = gauge("reconciler_sandboxes", "Sandboxes by phase.", ["phase"])
        self._ready = gauge("reconciler_sandbox_ready", "Whether the sandbox serves.", ["sandbox"])
        self._as_declared = gauge(
            "reconciler_sandbox_as_declared",
            "Whether it is accepted, synced, not stalled, and ready unless its file asks for it not to be.",
            ["sandbox"],
        )
        self._conditions = gauge(
            "reconciler_sandbox_condition",
            "Whether the condition is true: `Accepted`, `Synced`, `Ready`, `Stalled`.",
            ["sandbox", "condition"],
        )
        self._restarts = counter(
            "reconciler_sandbox_restarts",
            "How often the sandbox was started again: after an exit of its own, as unhealthy, or for too much output.",
            ["sandbox"],
        )
        self._actions = counter(
            "reconciler_actions", "Calls that change something, by their result.", ["action", "result"]
        )
        self._pulls = histogram(
            "reconciler_pull_duration_seconds", "How long the engine took to pull an image.", buckets=PULL_SECONDS
        )
        self._attestations = counter(
            "reconciler_attestations",
            "Comparisons of a container with what was rendered for it: `ok` or `mismatch`.",
            ["result"],
        )
        for result in ("ok", "mismatch"):
            self._attestations.labels(result)

    def done(self, outcome: Outcome) -> None:
        """After an action."""
        self._actions.labels(type(outcome.action).__name__, outcome.failure or "ok").inc()
        if isinstance(outcome.action, Pull) and outcome.failure is None:
            self._pulls.observe(outcome.duration_seconds)

    def changed(self, before: SandboxStatus | None, after: SandboxStatus) -> None:
        """After a status has changed."""
        if after.attested and (before is None or after.attested != before.attested):
            self._attestations.labels("ok" if after.attested.ok else "mismatch").inc()

    def passed(self, controller: ControllerStatus, sandboxes: Iterable[SandboxStatus]) -> None:
        """After a pass; writes the file. A failed write is logged once and never fails the caller."""
        self._available.set(controller.available)
        self._scanned.set(controller.last_scan_at)
        self._passed.set(controller.last_pass_at)
        self._passes.observe(controller.last_pass_seconds)
        self._limit.set(controller.limit)
        for phase in Phase:
            self._phases.labels(phase).set(controller.counts.get(phase, 0))
        for of_sandboxes in (self._ready, self._as_declared, self._conditions, self._restarts):
            of_sandboxes.clear()
        for status in sandboxes:
            self._ready.labels(status.name).set(status.ready)
            self._as_declared.labels(status.name).set(status.as_declared)
            for condition in status.conditions:
                self._conditions.labels(status.name, condition.type).set(condition.status)
            self._restarts.labels(status.name).inc(status.restarts)
        self._write()

    def _write(self) -> None:
        try:
            write_to_textfile(str(self._path), self._registry)
            self._failing = False
        except OSError as error:
            if not self._failing:
                log.warning("cannot write %s: %s", self._path, error.strerror)
            self._failing = True
