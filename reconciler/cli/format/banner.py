"""The state of the controller: whether it is alive, which commit is applied, what is wrong."""

from collections.abc import Iterable, Iterator

from reconciler.cli.format.terminal import Line, Part, Style, cells, dim, green, red, wrapped, yellow
from reconciler.engine.address import Address
from reconciler.model.plan import Reason
from reconciler.model.status import ControllerStatus, Heartbeat, SandboxStatus
from reconciler.spec.units import age_text

COMMIT_SHOWN = 12
CHANGES = {True: " + changes", False: "", None: ", changes unknown"}
LINES_MAX = 6
SEPARATOR = " · "


def banner(controller: ControllerStatus, heartbeat: Heartbeat, now: float, width: int | None) -> list[Line]:
    """Whether a controller is alive, which commit it has applied, whether the engine answers: one line, if it fits.

    If no controller is alive or it cannot write, the line also says how old everything else is; first comes why
    nothing is written.
    """
    unwritten = heartbeat.unwritten_since
    of_now = heartbeat.alive(now) and not unwritten
    answers, unavailable = ("answers", "unavailable") if of_now else ("answered", "was unavailable")
    parts = [_life(controller, heartbeat, now)]
    if heartbeat.unwritten_why:
        parts.insert(0, red(f"not written for {age_text(now - unwritten)}: {heartbeat.unwritten_why}"))
    if not of_now:
        last = min(unwritten, controller.updated_at) if unwritten else max(heartbeat.at, controller.updated_at)
        parts.append(yellow(f"the rest is {age_text(now - last)} old"))
    commit, changes = controller.commit[:COMMIT_SHOWN], CHANGES[controller.uncommitted]
    parts.append(f"commit {commit}{changes}" if commit else dim("no git commit"))
    address = Address(controller.host, context=controller.context)
    at = "" if address.socket and not address.context else f" at {address}"
    parts.append(green(f"engine {answers}{at}") if controller.available else red(f"engine {unavailable}{at}"))
    return _joined(parts, width)


def _life(controller: ControllerStatus, heartbeat: Heartbeat, now: float) -> Part:
    pid, silent = heartbeat.pid, age_text(heartbeat.age_seconds(now))
    if heartbeat.alive(now):
        if heartbeat.unwritten_since:
            return green(f"controller alive (pid {pid})" + ("" if heartbeat.unwritten_why else ", in its first pass"))
        told = controller.pid == pid and controller.started_at
        since = f" for {age_text(now - controller.started_at)}" if told else ""
        return green(f"controller alive{since} (pid {pid})")
    if pid is None:
        return yellow("no controller is running" + (f": it ended {silent} ago" if heartbeat.at else ""))
    if heartbeat.locked is False:
        return red(f"the controller has died (pid {pid})")
    why = "hung, or cannot write" if heartbeat.locked else "killed or hung"
    return red(f"no heartbeat for {silent}: controller {why} (pid {pid})")


def _joined(parts: list[Part], width: int | None) -> list[Line]:
    """As many parts on a line as fit."""
    lines: list[list[Part]] = [[]]
    used = 0
    for part in parts:
        taken = cells(part if isinstance(part, str) else part.text)
        if used and width is not None and used + len(SEPARATOR) + taken > width:
            lines.append([])
            used = 0
        if used:
            lines[-1].append(dim(SEPARATOR))
            used += len(SEPARATOR)
        lines[-1].append(part)
        used += taken
    return [*lines]


def problems(controller: ControllerStatus, statuses: Iterable[SandboxStatus]) -> Iterator[str]:
    """What is wrong beyond single sandboxes, one sentence each; not what the status of a sandbox says already."""
    if not controller.available:
        yield f"the engine is not available: {controller.unavailable_reason}"
    if controller.scan_error:
        yield f"nothing is removed: {controller.scan_error}"
    elif controller.frozen:
        yield f"removals are pending approval: {controller.frozen_reason}"
    if controller.pass_error:
        yield f"the last pass failed: {controller.pass_error}"
    if controller.policy_error:
        yield f"the last good policy is in force: {controller.policy_error}"
    told = {status.file for status in statuses if status.reason is Reason.INVALID_FILE}
    for file, found in controller.broken.items():
        if file not in told:
            yield from found
    for unmanaged in controller.unmanaged:
        yield f"unmanaged container, left alone: {unmanaged}"


def problem_lines(controller: ControllerStatus, statuses: Iterable[SandboxStatus], width: int | None) -> list[Line]:
    """The problems, marked, then the notes; without a width each on one line."""
    marked: list[tuple[str, Style]] = [
        *((f"! {problem}", red) for problem in problems(controller, statuses)),
        *((f"- {note}", dim) for note in controller.notes),
    ]
    return [
        style(line)
        for text, style in marked
        for line in ([text] if width is None else wrapped(text, width, hanging="  ", lines_max=LINES_MAX))
    ]
