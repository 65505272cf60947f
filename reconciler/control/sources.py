"""What the volumes of the sandboxes are on this host."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from reconciler.engine.host import examine
from reconciler.model.desired import Declaration
from reconciler.model.policy import Policy
from reconciler.model.rendered import Rendered
from reconciler.model.world import Source


def examined(declarations: Iterable[Declaration], policy: Policy, engine_socket: Path | None) -> Mapping[str, Source]:
    """What each volume's source, and each root of the policy, really is, now."""
    declared = (volume for declaration in declarations for volume in declaration.sandbox.volumes)
    paths = {volume.source for volume in (*declared, *policy.defaults.volumes)}
    roots = {root.root: Source(str(Path(root.root).resolve())) for root in policy.volumes}
    return {**roots, **{path: examine(path, engine_socket) for path in paths}}


def changed(rendered: Rendered, engine_socket: Path | None) -> str:
    """The last look before a container is created: how a source is not what was judged; empty when all are."""
    for mount in rendered.spec.volumes:
        source = examine(mount.source, engine_socket)
        if source.trouble or source.real != mount.source:
            return f"volume {mount.source} {source.trouble or 'has become a link'}"
    return ""
