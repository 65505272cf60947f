"""What holds in every story: one function each, in the order of a sandbox's life.

Each raises `ViolationError` when the sentence that it proves is not true. When each is asked stands at the end.
"""

from math import inf

from reconciler.control.reconcile import Cycle
from reconciler.engine.docker.decode import epoch
from reconciler.model.plan import Create, Outcome, Reason, SandboxPlan, Start, Stop
from reconciler.model.status import ConditionType, SandboxStatus
from reconciler.planning import backoff
from reconciler.planning.admission import effective, violations
from reconciler.planning.decide import decide
from reconciler.planning.kernel import DRIFT
from reconciler.spec.sandbox import DesiredState
from tests.floor import outside_the_floor
from tests.simulation.story import FIXED_PORT, MISSING_IMAGE, PRIVATE_IMAGE
from tests.simulation.witness import OTHERS, Raw, Settled, Witness, is_unhealthy, is_up, name_of, published, serves
from tests.simulation.world import SOURCES

OUTRANK = {Reason.POLICY_VIOLATION, Reason.DISK_EXCEEDED, Reason.LOG_RATE_EXCEEDED}
"""Causes for which what runs is stopped whatever its file says, or cannot say."""


class ViolationError(BaseException):
    """Something happened that must never happen. No `except Exception` of the controller's stops it."""


# --- a place to run in -----------------------------------------------------------------------------------------------


def no_more_run_than_the_limit_allows(witness: Witness, container: str) -> None:
    """A start leaves no more running than the highest limit under which the plans in flight were made.

    What takes its own place over needs no other, and what an engine has started belatedly nobody can call back.
    """
    if container in witness.belated or name_of(witness.containers[container]) in witness.replacing:
        return
    running = witness.up_among(witness.ours - witness.belated)
    limit = max(witness.limits.values(), default=0)
    if len(running) > limit:
        raise ViolationError(f"{len(running)} run under a limit of {limit}: {sorted(running)}")


def never_two_run_for_one_name(witness: Witness, _container: str) -> None:
    """No sandbox ever has two containers that run, whatever comes late."""
    running = witness.running()
    if len(set(running)) < len(running):
        raise ViolationError(f"two run for one name: {sorted(running)}")


def who_has_never_failed_goes_first(witness: Witness, planned: SandboxPlan) -> None:
    """Who has failed again and again never takes a place for which waits who has never failed.

    What has failed of those that only wait is in no file yet: it is what the plan was made from. Of whom something was
    asked, failures may be forgotten.
    """
    assert witness.cycle
    name, known = planned.sandbox, witness.cycle.memory.statuses
    waiting = [one for one in witness.plan.sandboxes if one.verdict == "WAIT" and one.cause == "LimitExceeded"]
    starts = any(isinstance(action, Start) for action in planned.actions)
    if not starts or name in witness.running() or witness.statuses[name].failures < 2:
        return
    failed = {name for name, status in known.items() if status.failures or status.asked}
    if patient := [one.sandbox for one in waiting if one.sandbox not in failed]:
        raise ViolationError(f"{name} has failed and goes before {patient}, which have never failed")


def nobody_waits_for_who_is_in_backoff(witness: Witness) -> None:
    """Who is in backoff holds no place for which waits who has never failed."""
    if not witness.controller.status.available:
        return
    statuses = witness.statuses.values()
    used = {*witness.running(), *witness.in_flight}
    in_backoff = [status.name for status in statuses if status.phase == "Backoff" and status.name not in used]
    waiting = [one.name for one in statuses if one.reason is Reason.LIMIT_EXCEEDED and not one.failures]
    if in_backoff and set(waiting) - used and len(used) < witness.reading.policy.sandboxes_max:
        raise ViolationError(f"{waiting} have never failed and wait for {in_backoff}, which are in backoff")


# --- a start ---------------------------------------------------------------------------------------------------------


def only_what_was_verified_starts(witness: Witness, container: str) -> None:
    """A plan starts only what it found within the floor after the last stop or removal for the same name."""
    if container not in witness.ours & witness.containers.keys() or witness.host.engine.belated:
        return
    if not witness.verified.get(container):
        raise ViolationError(f"{witness.containers[container]['Name']} was started without having been verified")


def what_has_written_too_much_stays_down(witness: Witness, planned: SandboxPlan) -> None:
    """What has written more to its disk than the policy allows is not started again."""
    started = {action.container for action in planned.actions if isinstance(action, Start)}
    if started & witness.has_written_too_much(planned.sandbox):
        raise ViolationError(f"{planned}: it has written too much, and is started again")


def only_what_it_asked_for_stays_mounted(witness: Witness, last: Outcome) -> None:
    """A plan that has ended well leaves nobody running with something else mounted than it asked for."""
    if last.failure is None and last.action == last.planned.actions[-1]:
        _check_mounts(witness, last.planned.sandbox)


def what_has_something_else_mounted_is_stopped_at_once(_witness: Witness, last: Outcome) -> None:
    """A plan never ends with the discovery of an exchanged source, but with the stop that follows it."""
    if last.failure is Reason.MOUNT_MISMATCH:
        raise ViolationError(f"{last.planned}: what has something else mounted was not stopped at once")


def nothing_starts_on_an_engine_that_lacks_a_knob_of_the_floor(witness: Witness, planned: SandboxPlan) -> None:
    """No plan starts anything once the engine has come back without something that the floor asks for."""
    if witness.host.engine.about.lacking and any(isinstance(action, Start) for action in planned.actions):
        raise ViolationError(f"{planned}: the engine lacks {witness.host.engine.about.lacking}")


def nobody_rests_for_want_of_credentials_that_are_there(witness: Witness) -> None:
    """Once the credentials have changed, who was not let in is tried again at once."""
    for name, failure in witness.not_let_in.items():
        status = witness.statuses.get(name)
        if status and status.failure == failure and status.retry_at > witness.host.clock.now():
            raise ViolationError(f"{name} was not let in, and rests although the credentials have changed")


def only_what_is_wanted_is_pulled(witness: Witness, call: str) -> None:
    """No pull begins for a file that is gone, or that needs another image or none, as the last plan knew it.

    What a file says that is broken or refused counts for nothing, and nobody can call back what the engine does late.
    """
    what, _, image = call.partition(" ")
    if witness.host.engine.belated:
        return
    reading = witness.cycle.reading if witness.cycle else witness.reading
    desired, policy = reading.desired, reading.policy
    if what != "pull" or not desired.complete or desired.broken or image not in {PRIVATE_IMAGE, MISSING_IMAGE}:
        return
    known = witness.host.engine.known_image
    declared = desired.declared.values()
    refused = any(violations(one, policy, SOURCES, known(one.sandbox.image)) for one in declared)
    to_run = [one.sandbox for one in declared if one.sandbox.state is DesiredState.RUNNING and not one.sandbox.suspend]
    if image not in {sandbox.image or policy.defaults.image for sandbox in to_run} and not refused:
        raise ViolationError(f"{call}: nobody wants it")


# --- health ----------------------------------------------------------------------------------------------------------


def the_unhealthy_rest_before_they_are_restarted(witness: Witness, planned: SandboxPlan) -> None:
    """What is unhealthy is left up for as long as its failure rests."""
    wait = witness.statuses[planned.sandbox].retry_at - witness.host.clock.now()
    if planned.cause is Reason.UNHEALTHY and 0 < wait <= backoff.MAX_SECONDS:
        raise ViolationError(f"{planned.sandbox} is unhealthy and restarted without a rest")


def who_wants_no_restart_gets_none(witness: Witness, planned: SandboxPlan) -> None:
    """What is unhealthy is left up for good when its file says that it is not to be restarted."""
    name = planned.sandbox
    if planned.cause is Reason.UNHEALTHY and witness.reading.desired.declared[name].sandbox.restart == "no":
        raise ViolationError(f"{name} is restarted, and says that it is not to be")


# --- what people ask for ---------------------------------------------------------------------------------------------


def who_was_taken_down_stays_down(witness: Witness, planned: SandboxPlan) -> None:
    """Nothing is created or started that somebody has taken down, until somebody asks for it."""
    if planned.sandbox in witness.down and any(isinstance(action, Create | Start) for action in planned.actions):
        raise ViolationError(f"{planned}: it was taken down")


def nobody_is_taken_down_unasked(witness: Witness, planned: SandboxPlan) -> None:
    """Nothing is removed as taken down that nobody wants down, or wants no more."""
    if planned.cause is Reason.TAKEN_DOWN and planned.sandbox not in witness.down:
        raise ViolationError(f"{planned}: nobody wants it down")


def a_restart_ends_the_run_that_was_there_and_no_later_one(witness: Witness, planned: SandboxPlan) -> None:
    """Whoever asks for a restart gets one, however often the controller is killed."""
    stopped = {action.container for action in planned.actions if isinstance(action, Stop)}
    ends = {run for run in witness.runs_of(planned.sandbox) if run[0] in stopped}
    if planned.cause is Reason.RESTART_ASKED and not ends <= witness.to_end.get(planned.sandbox, set()):
        raise ViolationError(f"{planned}: nobody has asked for the end of this run")


def what_is_to_be_retried_does_not_rest(_witness: Witness, cycle: Cycle) -> None:
    """Whoever asks for another attempt gets it now, whatever has failed before."""
    retried = {one.told.sandbox for one in cycle.answers if one.told.cause is Reason.RETRY_ASKED}
    if resting := [one for one in cycle.plan.sandboxes if one.sandbox in retried and one.retry_at]:
        raise ViolationError(f"{resting[0]}: it rests until {resting[0].retry_at}")


# --- replacements ----------------------------------------------------------------------------------------------------


def few_are_replaced_at_once(witness: Witness, planned: SandboxPlan) -> None:
    """A changed policy, or many changed files, never replace more at once than the policy says."""
    if planned.is_update and len(witness.updating) > max(witness.updating.values()):
        most = witness.updating[planned.sandbox]
        raise ViolationError(f"{sorted(witness.updating)} are replaced at once under a limit of {most}")


def nothing_is_replaced_by_what_is_not_sure(witness: Witness, planned: SandboxPlan) -> None:
    """While the directory cannot be read, nothing is replaced by what it said last."""
    if planned.is_update and not witness.reading.desired.complete:
        raise ViolationError(f"{planned}: what it is replaced by is not sure")


def nothing_is_replaced_that_has_not_changed(witness: Witness, planned: SandboxPlan) -> None:
    """What is replaced as changed differs in a field, where it is known what it was made from.

    That a port is fixed, or is no more, counts as a change, also where it is the port that is kept.
    """
    known, old = witness.statuses[planned.sandbox], planned.current
    if planned.cause is not Reason.CONFIGURATION_CHANGED or planned.changes or not known.configuration:
        return
    if old and old.id == known.container_id and FIXED_PORT not in old.ports.values():
        raise ViolationError(f"{planned}: nothing has changed")


def an_edit_is_no_drift(witness: Witness, planned: SandboxPlan) -> None:
    """What is replaced or stopped as changed behind everybody's back was changed so."""
    changed = witness.drifted | witness.host.engine.paths.strayed | witness.host.engine.paths.raised
    if planned.cause in DRIFT and not any(raw["Id"] in changed for raw in witness.up_of(planned.sandbox)):
        raise ViolationError(f"{planned}: nobody has changed it")


# --- removals --------------------------------------------------------------------------------------------------------


def only_what_is_surely_gone_is_removed(witness: Witness, planned: SandboxPlan) -> None:
    """Nothing is removed that has a file, nor anything while the directory cannot be read."""
    desired = witness.reading.desired
    if planned.cause is Reason.FILE_REMOVED and (planned.sandbox in desired.declared or not desired.complete):
        raise ViolationError(f"{planned}: its absence is not sure")


def what_is_pending_waits_for_approval(witness: Witness, planned: SandboxPlan) -> None:
    """What has waited for approval under the same policy is not removed without it."""
    before, policy = witness.pending_before, witness.reading.policy
    waited = before and before.policy == policy.fingerprint and planned.sandbox in before.containers
    if witness.is_unapproved_removal(planned) and waited:
        raise ViolationError(f"{planned}: it waited for approval, and nobody has approved it")


def no_more_are_removed_than_the_budget_allows(witness: Witness, planned: SandboxPlan) -> None:
    """In no window is more removed without approval than `max`, or than `share` of what ran when it began."""
    if not witness.is_unapproved_removal(planned):
        return
    now, budget = witness.host.clock.now(), witness.reading.policy.removals
    removed = {one for one, at in witness.removed_at.items() if abs(now - at) < budget.window}
    begun = inf if witness.jumped else now - budget.window  # nobody can tell when, by a clock that was set
    ran = {one for one in witness.running() if witness.known_since.get(one, now) <= begun} | removed
    share = int(budget.share * len(ran)) if witness.remembered_since <= begun else 0
    if len(removed) > max(budget.max, share):
        raise ViolationError(f"{sorted(removed)} are removed, and {sorted(ran)} ran when the window began")


# --- holds: what a file that does not count leaves alone -------------------------------------------------------------


def what_is_held_is_left_alone(witness: Witness, planned: SandboxPlan) -> None:
    """Nothing is done to a sandbox that is suspended, or whose file is broken."""
    name = planned.sandbox
    broken = name in witness.reading.desired.broken
    if _counts_on_its_file(witness, planned) and (broken or _is_suspended(witness, name)):
        raise ViolationError(f"{planned}: it is held")


def what_a_stray_may_be_meant_as_is_left_alone(witness: Witness, planned: SandboxPlan) -> None:
    """Nothing is done to a sandbox as long as a file whose name is no sandbox's may be meant as it."""
    desired, name = witness.reading.desired, planned.sandbox
    if _counts_on_its_file(witness, planned) and name in desired.invalid_names and name not in desired.declared:
        raise ViolationError(f"{planned}: a file with an invalid name may be meant as it")


def nothing_is_believed_in_the_middle_of_a_merge(witness: Witness, planned: SandboxPlan) -> None:
    """Nothing is done by a file that was read only while git was in the middle of something."""
    declaration = witness.reading.desired.declared.get(planned.sandbox)
    if _counts_on_its_file(witness, planned) and declaration and not witness.host.directory.is_believable(declaration):
        raise ViolationError(f"{planned}: its file was read in the middle of a merge")


def no_two_files_publish_one_port(witness: Witness, planned: SandboxPlan) -> None:
    """Nothing is done while two files that are to run ask for the same host port."""
    declared = witness.reading.desired.declared.values()
    wanted = [one for one in declared if one.sandbox.state is DesiredState.RUNNING]
    fixed = [one.name for one in wanted if any(port.published for port in one.sandbox.ports)]
    if _counts_on_its_file(witness, planned) and len(fixed) > 1:
        raise ViolationError(f"{planned}: {fixed} publish the same port")


def _counts_on_its_file(witness: Witness, planned: SandboxPlan) -> bool:
    """The policy outranks the file, and what somebody has changed is nobody's word."""
    return planned.cause not in OUTRANK and (planned.cause not in DRIFT or _is_suspended(witness, planned.sandbox))


def _is_suspended(witness: Witness, name: str) -> bool:
    declared = witness.reading.desired.declared
    return name in declared and bool(declared[name].sandbox.suspend)


# --- what is not ours, and what is odd -------------------------------------------------------------------------------


def only_ours_are_touched(_witness: Witness, call: str) -> None:
    """No call changes a container of a stranger's, or of another source's."""
    what, _, about = call.partition(" ")
    not_ours = about.startswith("stranger") or about.endswith(OTHERS)
    if what in {"start", "stop", "remove", "unpause", "rename"} and not_ours:
        raise ViolationError(f"{call}: it is not ours")


def nothing_is_changed_on_another_engine(_witness: Witness, call: str) -> None:
    """An engine that comes to be behind the address of the one that is pinned is given nothing.

    What is asked of a container of the other one's comes to nothing: it has none of that id.
    """
    if call.partition(" ")[0] in {"create_network", "pull", "create"}:
        raise ViolationError(f"{call}: it is another engine")


def no_plan_is_made_of_what_another_engine_shows(witness: Witness, _cycle: Cycle) -> None:
    """A pass that finds another engine ends with that."""
    if witness.host.engine.another_answers:
        raise ViolationError("a plan is made of another engine's containers")


def one_odd_container_stops_nobody_else(witness: Witness) -> None:
    """As long as the engine answers, it is available, whatever one of its containers is like."""
    if witness.was_reachable and not witness.controller.status.available:
        raise ViolationError("one odd container stops the whole")


# --- a pass, and what it tells ---------------------------------------------------------------------------------------


def what_is_remembered_changes_no_plan(_witness: Witness, cycle: Cycle) -> None:
    """Every plan is the one that would be made by who remembers nothing of the passes before."""
    if cycle.plan != decide(cycle.reading.desired, cycle.reading.policy, cycle.world, cycle.memory, cycle.now):
        raise ViolationError("a plan would be another one if nothing were remembered")


def public_fingerprints_know_no_values(witness: Witness, cycle: Cycle) -> None:
    """Two are the same where only values of `environment` differ."""
    policy, found = cycle.reading.policy, witness.public_fingerprints
    for planned in cycle.plan.sandboxes:
        if planned.rendered is None or planned.sandbox not in cycle.reading.desired.declared:
            continue
        sandbox = effective(cycle.reading.desired.declared[planned.sandbox].sandbox, policy)
        same = {"environment": sorted(sandbox.environment), "restart": ""}  # which is no matter of the container's
        said = f"{planned.sandbox} {sandbox.model_copy(update=same)} {policy.labels} {cycle.world.sources}"
        if found.setdefault(said, planned.rendered.public_fingerprint) != planned.rendered.public_fingerprint:
            raise ViolationError(f"{planned.sandbox} has two public fingerprints, and only a value has changed")


def no_pass_fails(witness: Witness) -> None:
    """No pass ends with an error of the controller's own."""
    if error := witness.controller.status.pass_error:
        raise ViolationError(f"a pass failed: {error}")


def ready_is_what_serves(witness: Witness) -> None:
    """What is ours and serves is shown ready, and nothing else; after a failure, once it has served for a while."""
    strangers = {container for container, owner in witness.seen.items() if not owner}
    for name, status in _told(witness).items():
        serving = [raw for raw in witness.up_of(name) if serves(raw) and raw["Id"] not in strangers]
        settling = status.failures and any(_is_new(witness, raw) for raw in serving)
        if bool(serving) is not status.ready and not (settling and not status.ready):
            raise ViolationError(f"{name} {'serves' if serving else 'does not serve'}, and is shown otherwise")


def synced_is_what_is_as_declared(witness: Witness) -> None:
    """What is not as declared is never shown synced, but for what somebody has changed without a word."""
    for name, status in _told(witness).items():
        synced = status.condition(ConditionType.SYNCED)
        if synced and synced.status and not _is_as_declared(witness, name, status.container_id):
            raise ViolationError(f"{name} is not as declared, and is shown synced")


def _told(witness: Witness) -> dict[str, SandboxStatus]:
    """The statuses of which the controller can know whether they are true: no plan is in flight for them."""
    if not witness.controller.status.available:
        return {}
    unclear = {name_of(raw) for raw in witness.up() if witness.is_unclear(raw)}
    return {name: status for name, status in witness.statuses.items() if name not in witness.in_flight | unclear}


def _is_new(witness: Witness, raw: Raw) -> bool:
    return witness.host.clock.now() - epoch(raw["State"]["StartedAt"]) < backoff.MIN_READY_SECONDS


def _is_as_declared(witness: Witness, name: str, container: str) -> bool:
    desired, policy = witness.reading.desired, witness.reading.policy
    if name not in desired.declared or violations(desired.declared[name], policy, SOURCES):
        return False
    sandbox, raw = effective(desired.declared[name].sandbox, policy), witness.containers.get(container)
    if sandbox.state is DesiredState.STOPPED:
        return name not in witness.running()
    return raw is not None and (
        container in witness.drifted
        or (
            raw["HostConfig"]["Memory"] == sandbox.mem_limit
            and raw["Config"]["Image"] == sandbox.image
            and raw["Config"]["Labels"].items() >= policy.labels.items()
            and not outside_the_floor(raw)
        )
    )


# --- in the end, when all faults have ended --------------------------------------------------------------------------


def nothing_runs_that_says_too_much(end: Settled) -> None:
    """What was told of as saying too much does not run on."""
    if loud := {one for one in end.witness.over_log_rate if end.witness.seen.get(one)}:
        raise ViolationError(f"{loud} have said too much, and run on")


def nothing_runs_that_has_written_too_much(end: Settled) -> None:
    """What has written more to its disk than the policy allows does not run on."""
    if loud := [name_of(raw) for raw in end.full if is_up(raw)]:
        raise ViolationError(f"{loud} have written too much, and run")


def what_is_held_obeys_the_policy(end: Settled) -> None:
    """Whatever its file says or cannot say, nothing runs on that the policy in force forbids."""
    for name in sorted(end.running):
        if not end.may_run_on(name):
            raise ViolationError(f"{name} is held, and the policy forbids it")


def what_is_held_is_within_the_floor(end: Settled) -> None:
    """Unless it is suspended, nothing runs on that somebody has changed to be outside the floor."""
    for name in sorted(end.running - end.suspended):
        if any(map(outside_the_floor, end.witness.up_of(name))):
            raise ViolationError(f"{name} is held, and somebody has changed it")


def only_what_is_declared_runs(end: Settled) -> None:
    """Nothing runs that has no file, is declared as stopped, or is refused and forbidden."""
    for name in sorted(end.running - end.held):
        stopped = name in end.accepted and end.accepted[name].state is DesiredState.STOPPED
        refused = name in end.files - end.accepted.keys()
        if name not in end.files or stopped or (refused and not end.may_run_on(name)):
            raise ViolationError(f"{name} runs and should not")


def what_is_declared_runs(end: Settled) -> None:
    """As long as there is a place under the limit, whatever can run and has not ended runs."""
    witness = end.witness
    able = {
        name
        for name, sandbox in end.accepted.items()
        if sandbox.state is DesiredState.RUNNING and sandbox.image != MISSING_IMAGE
    }
    ended = {
        name
        for name, status in witness.statuses.items()
        if status.phase in {"Completed", "Failed"}
        and (witness.forgetful or status.container_id in {*witness.ended_itself, status.over_log_rate})
    }
    waiting = able - end.running - ended - witness.down - set(map(name_of, end.full)) - end.unclear_names
    if any(FIXED_PORT in published(raw) for raw in witness.up()):
        waiting -= {name for name in able if any(port.published for port in end.accepted[name].ports)}
    if waiting and len(end.running) + len(end.unclear) < end.policy.sandboxes_max:
        raise ViolationError(f"{sorted(waiting)} do not run, and {sorted(end.running)} do")


def what_runs_is_as_declared(end: Settled) -> None:
    """What runs has the image, the memory, the name and the signal that its file asks for, and is within the floor."""
    for name, sandbox, raw in end.with_their_image:
        if (
            raw["HostConfig"]["Memory"] != sandbox.mem_limit
            or raw["Config"]["Image"] != sandbox.image
            or raw["Config"]["Hostname"] != (sandbox.hostname or raw["Id"][:12])
            or raw["Config"].get("StopSignal") != sandbox.stop_signal
            or raw["State"]["Status"] != "running"
            or outside_the_floor(raw)
        ):
            status = end.witness.statuses[name]
            raise ViolationError(f"{name} runs otherwise than declared ({status.phase} {status.reason})")


def no_salt_is_told(end: Settled) -> None:
    """No name, no status and no line of the journal has the salt of a container."""
    host = end.witness.host
    names = [raw["Name"] for raw in end.witness.containers.values()]
    told = f"{names} {end.witness.statuses} {host.store.controller()} {host.journal.entries}"
    for name, salts in end.witness.salts().items():
        if any(salt in told for salt in salts):
            raise ViolationError(f"the salt of {name} is told")


def no_two_sandboxes_share_a_salt(end: Settled) -> None:
    """Who learns one has learned nothing of the others."""
    found = sorted(salt for salts in end.witness.salts().values() for salt in salts)
    if len(set(found)) < len(found):
        raise ViolationError("two sandboxes have the same salt")


def what_runs_has_the_labels_of_the_policy(end: Settled) -> None:
    """What runs has the labels that the policy puts on every container."""
    for name, _, raw in end.with_their_image:
        for key, value in end.policy.labels.items():
            if raw["Config"]["Labels"].get(key) != value:
                raise ViolationError(f"{name} lacks the label {key} of the policy")


def what_runs_has_its_name(end: Settled) -> None:
    """What runs has a name of ours, unless it waits for its replacement."""
    for name, _, raw in end.with_their_image:
        if not raw["Name"].startswith(f"/reconciler.default.{name}.") and not end.witness.statuses[name].failures:
            raise ViolationError(f"{name} runs under the name {raw['Name']}")


def what_runs_publishes_what_the_policy_allows(end: Settled) -> None:
    """What runs takes no port of the host outside the policy's range."""
    for name, _, raw in end.runs:
        if any(port not in end.policy.published_ports for port in published(raw)):
            raise ViolationError(f"{name} publishes {published(raw)}, outside of {end.policy.published}")


def what_runs_has_mounted_what_it_asked_for(end: Settled) -> None:
    """What runs has nothing else mounted than it asked for."""
    for name, _, _ in end.runs:
        _check_mounts(end.witness, name)


def nothing_runs_on_with_other_limits_than_declared(end: Settled) -> None:
    """Once a resync has looked, nothing runs whose limits in the kernel were raised, unless it is suspended."""
    raised = end.witness.host.engine.paths.raised
    for name in sorted(end.running - end.suspended):
        if any(raw["Id"] in raised for raw in end.witness.up_of(name)):
            raise ViolationError(f"{name} runs, and the kernel does not limit it")


def nobody_is_unhealthy_for_ever(end: Settled) -> None:
    """What is unhealthy has been restarted, unless it is not to be, or waits for an image that nobody has."""
    for name, sandbox, raw in end.with_their_image:
        if is_unhealthy(raw) and sandbox.restart != "no":
            raise ViolationError(f"{name} is unhealthy for ever")


def what_was_asked_is_answered(end: Settled) -> None:
    """Nobody asks in vain, and no request lies about for ever."""
    if asked := end.witness.unanswered | end.witness.host.store.requests().keys():
        raise ViolationError(f"what was asked of {sorted(asked)} has no answer")


def who_was_taken_down_is_gone(end: Settled) -> None:
    """What was taken down, and is accepted and not held, has no container any more."""
    for name in sorted(end.witness.down & end.accepted.keys() - end.unclear_names):
        if runs := end.witness.runs_of(name):
            raise ViolationError(f"{name} was taken down, and has {runs}")


def what_was_to_be_restarted_was(end: Settled) -> None:
    """What runs, and was asked to be restarted, has begun since, unless it waits for its replacement."""
    up = {raw["Id"] for raw in end.witness.up()}
    for name, _, _ in end.with_their_image:
        if on := {run for run in end.witness.runs_of(name) & end.witness.to_end.get(name, set()) if run[0] in up}:
            raise ViolationError(f"{name} was asked to be restarted, and {on} runs on")


def nothing_is_left_over(end: Settled) -> None:
    """What runs, and waits for no replacement, has no other container beside it."""
    witness = end.witness
    for name, _, _ in end.runs:
        status = witness.statuses[name]
        left = [one for one in witness.ours & witness.containers.keys() if name_of(witness.containers[one]) == name]
        if status.phase == "Running" and not status.failures and len(left) > 1:
            raise ViolationError(f"{name} runs, and something is left over")


def _check_mounts(witness: Witness, name: str) -> None:
    for raw in witness.up():
        if name_of(raw) == name and raw["Id"] in witness.host.engine.paths.strayed:
            raise ViolationError(f"{name} runs with something else mounted")


# --- when each is asked ----------------------------------------------------------------------------------------------

BEFORE_A_CALL = (only_ours_are_touched, only_what_is_wanted_is_pulled)
BEFORE_A_CALL_OF_ANOTHER_ENGINE = (nothing_is_changed_on_another_engine,)
BEFORE_A_START = (only_what_was_verified_starts,)
AFTER_A_START = (never_two_run_for_one_name, no_more_run_than_the_limit_allows)
OF_A_PLAN = (
    no_plan_is_made_of_what_another_engine_shows,
    what_is_remembered_changes_no_plan,
    public_fingerprints_know_no_values,
    what_is_to_be_retried_does_not_rest,
)
BEFORE_A_SANDBOX_PLAN = (
    who_has_never_failed_goes_first,
    what_has_written_too_much_stays_down,
    nothing_starts_on_an_engine_that_lacks_a_knob_of_the_floor,
    the_unhealthy_rest_before_they_are_restarted,
    who_wants_no_restart_gets_none,
    who_was_taken_down_stays_down,
    nobody_is_taken_down_unasked,
    a_restart_ends_the_run_that_was_there_and_no_later_one,
    few_are_replaced_at_once,
    nothing_is_replaced_by_what_is_not_sure,
    nothing_is_replaced_that_has_not_changed,
    an_edit_is_no_drift,
    only_what_is_surely_gone_is_removed,
    what_is_pending_waits_for_approval,
    no_more_are_removed_than_the_budget_allows,
    what_is_held_is_left_alone,
    what_a_stray_may_be_meant_as_is_left_alone,
    nothing_is_believed_in_the_middle_of_a_merge,
    no_two_files_publish_one_port,
)
AFTER_A_SANDBOX_PLAN = (only_what_it_asked_for_stays_mounted, what_has_something_else_mounted_is_stopped_at_once)
AFTER_A_PASS = (
    no_pass_fails,
    one_odd_container_stops_nobody_else,
    nobody_waits_for_who_is_in_backoff,
    nobody_rests_for_want_of_credentials_that_are_there,
    ready_is_what_serves,
    synced_is_what_is_as_declared,
)
IN_THE_END = (
    nothing_runs_that_says_too_much,
    nothing_runs_that_has_written_too_much,
    what_is_held_obeys_the_policy,
    what_is_held_is_within_the_floor,
    only_what_is_declared_runs,
    what_is_declared_runs,
    what_runs_is_as_declared,
    what_runs_has_the_labels_of_the_policy,
    what_runs_has_its_name,
    what_runs_publishes_what_the_policy_allows,
    what_runs_has_mounted_what_it_asked_for,
    nothing_runs_on_with_other_limits_than_declared,
    nobody_is_unhealthy_for_ever,
    nothing_is_left_over,
    what_was_asked_is_answered,
    who_was_taken_down_is_gone,
    what_was_to_be_restarted_was,
    no_salt_is_told,
    no_two_sandboxes_share_a_salt,
)
"""Those of after a pass are asked once more before."""
