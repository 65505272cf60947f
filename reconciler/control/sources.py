"""What the volumes of the sandboxes are on this host."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from reconciler.engine.host import EngineHost, Protected
from reconciler.model.container import MOUNTED, Deviation
from reconciler.model.desired import Declaration
from reconciler.model.policy import Policy
from reconciler.model.rendered import Rendered
from reconciler.model.text import printable
from reconciler.model.world import UP, Inspection, Source


class Volumes:
    """Looks at the paths of the host. One thread examines them; any may then ask what has changed."""

    def __init__(self, host: EngineHost) -> None:
        self._host = host
        self._protected = Protected()
        self._sources: Mapping[str, Source] = {}

    def examined(
        self, declarations: Iterable[Declaration], policy: Policy, engine_data: str = ""
    ) -> Mapping[str, Source]:
        """What each volume's source, and each root of the policy, really is, now; `engine_data` is the engine's own.

        The very same as before for as long as nothing about them has changed: thousands are compared with it.
        """
        declared = (volume for declaration in declarations for volume in declaration.sandbox.volumes)
        paths = {volume.source for volume in (*declared, *policy.defaults.volumes)}
        sources = {root.root: Source(str(Path(root.root).resolve())) for root in policy.volumes}
        if paths:
            self._protected = self._host.protected(engine_data)
            sources |= {path: self._host.examine(path, self._protected) for path in paths}
        if sources != self._sources:
            self._sources = sources
        return self._sources

    def changed(self, rendered: Rendered) -> str:
        """The last look before a container is created: how a source is not what was judged; empty when all are."""
        for mount in rendered.spec.volumes:
            source = self._host.examine(mount.source, self._protected)
            if source.trouble or source.real != mount.source:
                return f"{source.trouble or 'has become a link'}: volume {mount.source}"
        return ""

    def witnessed(self, container: str, inspection: Inspection) -> Inspection:
        """The inspection, deviating too where the kernel has mounted something else than the engine says.

        The engine looks a source up at each start, after everybody else has: it may have become a link by then.
        """
        if inspection.state not in UP or inspection.spec is None or not inspection.spec.volumes:
            return inspection
        exchanged = self._host.exchanged(container, inspection.pid, inspection.spec.volumes)
        if not exchanged:
            return inspection
        told = (Deviation(MOUNTED, printable(f"not {volume.source} at {volume.target}")) for volume in exchanged)
        return replace(inspection, deviations=(*inspection.deviations, *told), evidence="")
