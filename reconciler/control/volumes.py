"""Asks this host about the sandboxes: about their volumes before they are mounted, and about what runs."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from reconciler.engine.host import EngineHost, Protected
from reconciler.model.container import MOUNTED, Deviation
from reconciler.model.desired import Declaration
from reconciler.model.kernel import KernelFacts
from reconciler.model.rendered import Rendered
from reconciler.model.world import UP, Inspection, Source
from reconciler.planning.admission import volume_refused
from reconciler.spec.parts import Volume
from reconciler.spec.policy import Policy
from reconciler.spec.text import printable


class Volumes:
    """`examined` is called by one thread; the others may then ask what has changed since."""

    def __init__(self, host: EngineHost) -> None:
        self._host = host
        self._protected = Protected()
        self._sources: Mapping[str, Source] = {}
        self._is_here = False
        """Whether something that runs was seen in this kernel: what is not seen then has ended."""

    def examined(
        self,
        declarations: Iterable[Declaration],
        policy: Policy,
        engine_data: str = "",
        writable: Callable[[], Mapping[str, str]] = dict,
    ) -> Mapping[str, Source]:
        """What each volume's source and each root of the policy resolves to now.

        `engine_data` is the engine's data directory; `writable`, called only if there are volumes, gives the paths that
        containers can write. While nothing changes the same object is returned, so that comparing it is cheap.
        """
        volumes = {
            declaration.name: declaration.sandbox.volumes or policy.defaults.volumes for declaration in declarations
        }
        paths = {volume.source for some in (*volumes.values(), policy.defaults.volumes) for volume in some}
        sources = {root.root: Source(str(Path(root.root).resolve())) for root in policy.volumes}
        if paths:
            self._protected = self._host.protected(engine_data, writable())
            sources |= {path: self._host.examine(path, self._protected) for path in paths}
            sources |= _apart(volumes, policy, sources)
        if sources != self._sources:
            self._sources = sources
        return self._sources

    def why_changed(self, rendered: Rendered) -> str | None:
        """Why a source is not what was judged, looked up right before a container is created; None when all are."""
        for mount in rendered.spec.volumes:
            source = self._host.examine(mount.source, self._protected)
            if source.why_unfit or source.real != mount.source:
                return f"{source.why_unfit or 'has become a link'}: volume {mount.source}"
        return None

    def witnessed(self, container: str, inspection: Inspection) -> Inspection:
        """The inspection, with what the kernel says, and a deviation for each volume whose source is another there.

        The engine resolves a source at each start, after it was judged: it may have become a link by then.
        """
        kernel = self._host.kernel(container, inspection)
        self._is_here = self._is_here or (kernel is not None and not kernel.why_unknown)
        if kernel is None and inspection.state in UP and not self._is_here:
            kernel = KernelFacts(why_unknown="nothing of it is seen on this host")
        if kernel is not None:
            inspection = replace(inspection, kernel=kernel)
        if inspection.state not in UP or inspection.spec is None or not inspection.spec.volumes:
            return inspection
        exchanged = self._host.exchanged(container, inspection.pid, inspection.spec.volumes)
        if not exchanged:
            return inspection
        told = (Deviation(MOUNTED, printable(f"not {volume.source} at {volume.target}")) for volume in exchanged)
        return replace(inspection, deviations=(*inspection.deviations, *told))


def _apart(volumes: Mapping[str, Iterable[Volume]], policy: Policy, sources: Mapping[str, Source]) -> dict[str, Source]:
    """The sources that lie inside a volume which a sandbox can write, with that as why they are unfit."""
    allowed = Protected(
        writable={
            Path(sources[volume.source].real): f"sandbox {name}"
            for name, own in volumes.items()
            for volume in own
            if not volume.read_only and not any(volume_refused(volume, policy, sources))
        }
    )
    return {
        path: judged
        for path, source in sources.items()
        if not source.why_unfit and (judged := allowed.judged(Path(source.real))).why_unfit
    }
