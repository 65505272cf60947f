"""Which of the containers that carry an instance's label are its own.

A container is ours by its labels and its name together. One that somebody renamed is ours too, if a status knows its
id, or if its labels cannot be its image's and its configuration is one that only reconciler makes: images carry
labels, and other tools copy them.
"""

import re
from dataclasses import replace

from reconciler.model import labels
from reconciler.model.container import MOUNTED
from reconciler.model.labels import Owner
from reconciler.model.world import UP, Image, Inspection, Summary, Unmanaged
from reconciler.planning.floor import outside_floor


def not_ours_by_labels(summary: Summary, owner: Owner) -> Unmanaged | None:
    """None for one whose labels are complete and name a source that we act for."""
    sandbox, source = summary.labels.get(labels.SANDBOX, ""), summary.labels.get(labels.SOURCE, "")
    fingerprint = re.fullmatch(r"[0-9a-f]{64}", summary.labels.get(labels.FINGERPRINT, ""))
    ports = labels.parse_ports(summary.labels.get(labels.PORTS, ""))
    if not (re.fullmatch(labels.SANDBOX_NAME, sandbox) and fingerprint) or ports is None:
        return Unmanaged(summary.id, summary.name, "its labels are not complete")
    if not owner.acts_for(source):
        why = f"owned by {source}"  # which an image can bring along, but no name
        if is_misnamed(summary, owner):
            return Unmanaged(summary.id, summary.name, why)
        return counted(summary, why, source)
    return counted(summary, summary.why_unreadable) if summary.why_unreadable else None


def counted(summary: Summary, why: str, source: str | None = None) -> Unmanaged:
    """It is not ours to touch, and stands for a sandbox of ours all the same: no other may run beside it."""
    sandbox, up = summary.labels[labels.SANDBOX], summary.state in UP
    return Unmanaged(summary.id, summary.name, why, sandbox, up, source)


def is_misnamed(summary: Summary, owner: Owner) -> bool:
    """Whether its name is another than its labels say."""
    sandbox, fingerprint = summary.labels[labels.SANDBOX], summary.labels[labels.FINGERPRINT]
    return summary.name != labels.container_name(owner.instance, sandbox, fingerprint)


def not_ours_by_proof(summary: Summary, inspection: Inspection, image: Image | None, owner: Owner) -> Unmanaged | None:
    """None for a misnamed container that is certainly ours, though no status knows it.

    One with our source's label that somebody has changed may be ours, and counts.
    """
    configured = replace(inspection, kernel=None)  # what the kernel tells is no configuration
    outside = outside_floor(configured, labels.network_name(owner.instance))
    found = [one for one in outside if one.knob != MOUNTED]
    if image and image.labels.get(labels.FINGERPRINT) == summary.labels[labels.FINGERPRINT]:
        why = "its labels are its image's"
    elif image and not found:
        return None
    else:
        why = f"its name is not ours, and its {found[0]}" if found else "its name is not ours, and its image is gone"
        if labels.SOURCE in summary.labels:
            return counted(summary, why)
    return Unmanaged(summary.id, summary.name, why)
