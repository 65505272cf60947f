"""Whether the engine and its network are fit for a sandbox, whatever its container is like."""

from reconciler.model.plan import Reason
from reconciler.model.world import World
from reconciler.spec.sandbox import Sandbox


def unfit(sandbox: Sandbox, world: World) -> tuple[Reason, str] | None:
    """Why nothing can be started for it now: the reason, and a sentence for people; None when they are fit."""
    if lacking := world.engine.lacking:
        return Reason.ENGINE_UNFIT, f"the engine cannot enforce {', '.join(lacking)}; see `reconciler doctor`"
    network = world.network
    if network is None or sandbox.network_mode is not None:
        return None
    if network.why_unfit:
        return Reason.NETWORK_UNFIT, f"{network.why_unfit}; remove the network: {network.name}"
    if network.unfiltered:
        return Reason.NETWORK_UNFIT, f"{network.unfiltered}; see `reconciler doctor`"
    return None
