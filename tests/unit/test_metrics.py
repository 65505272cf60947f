"""Figures for Prometheus, read back with its own parser."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reconciler.model.plan import Outcome, Pull, Reason, SandboxPlan, Start, Verdict
from reconciler.model.status import Attestation, Condition, ConditionType, ControllerStatus, Phase, SandboxStatus
from reconciler.report.metrics import Metrics

PLANNED = SandboxPlan("web", Verdict.CREATE, Reason.ABSENT)
CONTROLLER = ControllerStatus(
    available=True,
    host="unix:///run/docker.sock",
    instance="default",
    version="0.1.0",
    pid=1,
    directory="/etc/sandboxes.d",
    limit=5,
    last_scan_at=100.5,
    last_pass_at=101.5,
    last_pass_seconds=0.02,
    counts={Phase.RUNNING: 2, Phase.BACKOFF: 1},
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.prom"


def figures(path: Path) -> dict[str, float]:
    """By name and labels: `reconciler_sandboxes{phase=Running}`."""
    found = {}
    for family in text_string_to_metric_families(path.read_text()):
        assert family.documentation
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sample.labels.items())
            found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


def status(name: str, *, ready: bool = True, restarts: int = 0, attested: Attestation | None = None) -> SandboxStatus:
    condition = Condition(type=ConditionType.READY, status=ready, reason=Reason.RUNNING, since=1)
    return SandboxStatus(name=name, restarts=restarts, conditions=(condition,), attested=attested)


def test_the_state_of_everything_is_there(path: Path) -> None:
    """Engine, scan, passes, limit, phases, and each sandbox."""
    Metrics(path).passed(CONTROLLER, [status("web", restarts=3), status("db", ready=False)])
    found = figures(path)
    assert found["reconciler_engine_available"] == 1
    assert found["reconciler_last_scan_timestamp_seconds"] == 100.5
    assert found["reconciler_last_pass_timestamp_seconds"] == 101.5
    assert found["reconciler_pass_duration_seconds_count"] == 1
    assert found["reconciler_pass_duration_seconds_sum"] == 0.02
    assert found["reconciler_sandboxes_max"] == 5
    assert found["reconciler_sandboxes{phase=Running}"] == 2
    assert found["reconciler_sandboxes{phase=Failed}"] == 0
    assert found["reconciler_sandbox_restarts_total{sandbox=web}"] == 3
    assert found["reconciler_sandbox_ready{sandbox=web}"] == 1
    assert found["reconciler_sandbox_ready{sandbox=db}"] == 0
    assert found["reconciler_sandbox_as_declared{sandbox=web}"] == 1
    assert found["reconciler_sandbox_as_declared{sandbox=db}"] == 0
    assert found["reconciler_sandbox_condition{condition=Ready,sandbox=web}"] == 1
    assert found["reconciler_sandbox_condition{condition=Ready,sandbox=db}"] == 0
    assert not any("_created" in name for name in found)


def test_actions_are_counted_by_their_result(path: Path) -> None:
    """Every call that changes something, and how long pulls took."""
    metrics = Metrics(path)
    metrics.done(Outcome(PLANNED, Start("a" * 64)))
    metrics.done(Outcome(PLANNED, Start("a" * 64), failure=Reason.PORT_TAKEN))
    metrics.done(Outcome(PLANNED, Pull("app:1"), duration_seconds=7.5))
    metrics.done(Outcome(PLANNED, Pull("app:1"), failure=Reason.IMAGE_PULL_FAILED, duration_seconds=600))
    metrics.passed(CONTROLLER, [])
    found = figures(path)
    assert found["reconciler_actions_total{action=Start,result=ok}"] == 1
    assert found["reconciler_actions_total{action=Start,result=PortTaken}"] == 1
    assert found["reconciler_actions_total{action=Pull,result=ImagePullFailed}"] == 1
    assert found["reconciler_pull_duration_seconds_count"] == 1
    assert found["reconciler_pull_duration_seconds_sum"] == 7.5


def test_each_attestation_is_counted_once(path: Path) -> None:
    """A change of the status that is none of its attestation counts for nothing."""
    metrics = Metrics(path)
    good = status("web", attested=Attestation(at=1, ok=True, container_id="a", policy="p"))
    bad = status("web", attested=Attestation(at=2, ok=False, container_id="a", policy="p"))
    metrics.changed(None, good)
    metrics.changed(good, good.model_copy(update={"message": "other"}))
    metrics.changed(good, bad)
    metrics.passed(CONTROLLER, [])
    found = figures(path)
    assert found["reconciler_attestations_total{result=ok}"] == 1
    assert found["reconciler_attestations_total{result=mismatch}"] == 1


def test_what_is_gone_has_no_figures(path: Path) -> None:
    """Names come and go, and do not pile up."""
    metrics = Metrics(path)
    metrics.passed(CONTROLLER, [status("web")])
    metrics.passed(CONTROLLER, [status("db")])
    assert not any("sandbox=web" in name for name in figures(path))


def test_a_disk_that_is_full_fails_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once."""
    metrics = Metrics(tmp_path / "missing" / "metrics.prom")
    metrics.passed(CONTROLLER, [])
    metrics.passed(CONTROLLER, [])
    assert caplog.text.count("cannot write") == 1
