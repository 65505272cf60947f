"""One cycle: `plan` shows what `apply` would do, by the same reading, the same observation and the same memory."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from reconciler.cli.main import cli
from reconciler.control.clock import SystemClock
from reconciler.control.reconcile import reconcile_once
from reconciler.model.errors import PolicyUnknown
from reconciler.model.plan import Verdict
from tests.house import House


def crash(house: House) -> None:
    house.engine.exit(house.id_of("web"), 3)


def test_an_exit_that_nobody_has_seen_counts_in_a_plan_too(house: House) -> None:
    """After its second exit in a row a sandbox rests, whether the plan is shown or carried out."""
    house.declare("web")
    house.apply()
    for _ in range(2):
        crash(house)
        house.engine.calls.clear()
        plan = reconcile_once(house.settings, house.engine, SystemClock()).plan
        assert house.writes() == []
        house.apply(0.1)
        assert plan.changes_nothing is not bool(house.writes())
    assert [planned.verdict for planned in plan.sandboxes] == [Verdict.WAIT]


def planned(house: House, *options: str) -> BaseException | None:
    settings = house.settings
    where = ["--dir", str(settings.directory), "--state", str(settings.state), "--policy", str(settings.policy_file)]
    return CliRunner().invoke(cli, [*where, "plan", *options]).exception


@pytest.mark.parametrize("begin", [House.apply, planned], ids=["apply", "plan"])
def test_without_a_policy_nothing_is_decided(house: House, begin: Callable[[House], object]) -> None:
    """The mistake comes first, then that a running controller knows a policy that nobody else does."""
    (house.root / "policy.yaml").write_text("sandboxes_max: many")
    try:
        raised = begin(house)
    except PolicyUnknown as error:
        raised = error
    assert isinstance(raised, PolicyUnknown)
    first, last = str(raised).splitlines()
    assert Path(first.split(":")[0]).name == "policy.yaml"
    assert last == "no policy to go by; a running controller keeps to the last good one"
