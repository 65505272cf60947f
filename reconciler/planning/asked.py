"""What people ask of single sandboxes: each request is refused for a reason, or taken up.

What is taken up is in the sandbox's status from then on, and all else is decided by that.
"""

from dataclasses import replace
from typing import NamedTuple

from reconciler.model.plan import Reason, SandboxPlan, Verdict
from reconciler.model.status import Ask, Request
from reconciler.planning.converge import converge, start_refused
from reconciler.planning.situation import Situation
from reconciler.planning.unwanted import plan_unwanted
from reconciler.planning.wanted import Wanted

TAKEN_UP = {Ask.RESTART: Reason.RESTART_ASKED, Ask.RETRY: Reason.RETRY_ASKED, Ask.DOWN: Reason.TAKEN_DOWN}


class Answer(NamedTuple):
    """To a request: `told` says why it is refused, or that it is taken up."""

    request: Request
    told: SandboxPlan
    refused: bool


def answers(situation: Situation) -> tuple[Answer, ...]:
    """To all requests that have none yet, but for those of what is in flight."""
    asked = {name: request for name, request in situation.memory.requests.items() if _is_new(situation, name, request)}
    if not asked:
        return ()
    not_down = {name: situation.status(name).model_copy(update={"asked": None}) for name in asked}
    memory = replace(situation.memory, statuses={**situation.memory.statuses, **not_down})
    declared = replace(situation, memory=memory)
    sandboxes = {name: declared.should_run[name] for name in asked.keys() & declared.should_run.keys()}
    wanted = {name: Wanted(declared, sandbox, declared.rendered[name]) for name, sandbox in sandboxes.items()}
    plans = {name: SandboxPlan(name, Verdict.HOLD, Reason.FILE_REMOVED) for name in asked}
    plans |= {one.sandbox: one for one in (*plan_unwanted(declared)[0], *map(converge, wanted.values()))}
    return tuple(_answer(situation, asked[name], wanted.get(name), plans[name]) for name in sorted(asked))


def _is_new(situation: Situation, name: str, request: Request) -> bool:
    last = situation.status(name).asked
    return name not in situation.memory.in_flight and (last is None or last.at != request.at)


def _answer(situation: Situation, request: Request, wanted: Wanted | None, planned: SandboxPlan) -> Answer:
    what, refusal = request.what, _refusal(situation, request.what, wanted, planned)
    told = refusal or SandboxPlan(planned.sandbox, Verdict.KEEP, TAKEN_UP[what], f"{what}, as somebody asked")
    told = replace(told, message=told.message or told.cause.means)
    container = wanted and (wanted.current or wanted.old)
    run = container.inspection.started_at if container else 0
    return Answer(request.model_copy(update={"run": run}), told, refused=refusal is not None)


def _refusal(situation: Situation, what: Ask, wanted: Wanted | None, planned: SandboxPlan) -> SandboxPlan | None:
    """The plan of what is left as it is, goes anyway, or is not to be started; None for what can be done."""
    name = planned.sandbox
    if planned.verdict is Verdict.HOLD or name not in situation.desired.declared:
        return planned
    if what is Ask.DOWN:
        return None
    if wanted is None or wanted.full or (what is Ask.RETRY and wanted.ended):
        return planned
    if what is Ask.RESTART:
        return start_refused(wanted)
    if situation.is_down(name):
        return SandboxPlan(name, Verdict.KEEP, Reason.TAKEN_DOWN)
    return None if wanted.status.failure else SandboxPlan(name, Verdict.KEEP, Reason.NO_FAILURE)
