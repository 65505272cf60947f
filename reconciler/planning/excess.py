"""What a container uses beyond what the policy allows, as far as that shows only while it runs."""

from reconciler.model.plan import Reason
from reconciler.model.status import SandboxStatus
from reconciler.model.world import Observed
from reconciler.spec.policy import Policy
from reconciler.spec.units import MIB, size_text


def over_disk(policy: Policy, container: Observed, status: SandboxStatus) -> bool:
    """Whether the container had written more than the policy allows when that was last measured."""
    return status.disk_bytes.get(container.id, 0) > policy.limits.disk


def excess(policy: Policy, container: Observed, status: SandboxStatus) -> tuple[Reason, str] | None:
    """Why a container must not run on, and a sentence for people; None when it may."""
    if over_disk(policy, container, status):
        limit, written = size_text(policy.limits.disk), status.disk_bytes[container.id] // MIB
        message = f"over disk {limit}: it has written {written}m; change its file for a new container"
        return Reason.DISK_EXCEEDED, message
    if container.id == status.over_log_rate:
        return Reason.LOG_RATE_EXCEEDED, f"over log_rate {size_text(policy.limits.log_rate)} a second"
    return None
