"""References to images and the patterns that allow them."""

import pytest

from reconciler.spec.image_reference import PUBLIC_REGISTRIES, ImagePattern, Reference
from reconciler.spec.mistake import Mistake
from reconciler.spec.policy import Policy

DIGEST = f"sha256:{'0123456789abcdef' * 4}"
OTHER = f"sha256:{'f' * 64}"

READ = {
    "busybox": ("docker.io", "library/busybox", "latest", ""),
    "busybox:1.36": ("docker.io", "library/busybox", "1.36", ""),
    "docker.io/busybox": ("docker.io", "library/busybox", "latest", ""),
    "index.docker.io/library/busybox": ("docker.io", "library/busybox", "latest", ""),
    "owner/app": ("docker.io", "owner/app", "latest", ""),
    "library/cafe": ("docker.io", "library/cafe", "latest", ""),
    "cafe:1": ("docker.io", "library/cafe", "1", ""),
    "sha256:v1": ("docker.io", "library/sha256", "v1", ""),
    "ghcr.io/owner/app:v1": ("ghcr.io", "owner/app", "v1", ""),
    f"ghcr.io/owner/app@{DIGEST}": ("ghcr.io", "owner/app", "", DIGEST),
    f"ghcr.io/owner/app:v1@{DIGEST}": ("ghcr.io", "owner/app", "v1", DIGEST),
    "busybox:5000/evil": ("busybox:5000", "evil", "latest", ""),
    "localhost/app": ("localhost", "app", "latest", ""),
    "localhost:5000/a/b__c-d.e": ("localhost:5000", "a/b__c-d.e", "latest", ""),
    "127.0.0.1:8097/x:1": ("127.0.0.1:8097", "x", "1", ""),
    "[::1]:5000/x": ("[::1]:5000", "x", "latest", ""),
    "GHCR.io/x": ("GHCR.io", "x", "latest", ""),
    "2130706433/x": ("docker.io", "2130706433/x", "latest", ""),
}

REFUSED = {
    "": "is empty",
    "cafe": "write docker.io/library/cafe:TAG",
    "0123456789ab": "write docker.io/library/0123456789ab:TAG",
    "f" * 64: "write such as name@sha256:",
    DIGEST: "write such as name@sha256:",
    "sha256:0123": "write such as name@sha256:",
    "sha512:ab": "write such as name@sha256:",
    "Busybox": "use small letters",
    "Owner/app": "use small letters",
    "foo_bar.io/x": "write such as name:tag",
    "-a.io/x": "write such as name:tag",
    "a-.io/x": "write such as name:tag",
    "ghcr.io./x": "write such as name:tag",
    "ghcr.io:/x": "write such as name:tag",
    "ghcr.io:123456/x": "write such as name:tag",
    "user@ghcr.io/x": "write such as name:tag",
    "https://ghcr.io/x": "write such as name:tag",
    "ghcr.io//x": "write such as name:tag",
    "ghcr.io/": "write such as name:tag",
    "../images": "write such as name:tag",
    "a/../b": "write such as name:tag",
    "busybox:": "write such as name:tag",
    "busybox:1:2": "write such as name:tag",
    "busybox@sha256:0": "write such as name:tag",
    "busybox*": "write such as name:tag",
    "busybox\n": "write such as name:tag",
    "busybox:1?x": "write such as name:tag",
    f"ghcr.io/{'a' * 248}": "at most 255 characters before the tag",
}

ALLOWED = {
    "busybox:*": {"busybox", "busybox:1", "docker.io/busybox", f"busybox@{DIGEST}", f"busybox:1@{DIGEST}"},
    "busybox": {"busybox", "busybox:1", "docker.io/busybox", f"busybox@{DIGEST}", f"busybox:1@{DIGEST}"},
    "busybox:1": {"busybox:1"},
    "busybox:latest": {"busybox", "docker.io/busybox"},
    "busybox@sha256:*": {f"busybox@{DIGEST}", f"busybox:1@{DIGEST}"},
    f"busybox@{DIGEST}": {f"busybox@{DIGEST}", f"busybox:1@{DIGEST}"},
    f"busybox@{OTHER}": set(),
    "busybox:1@sha256:*": {f"busybox:1@{DIGEST}"},
    "busy*": {"busybox", "busybox:1", "docker.io/busybox", f"busybox@{DIGEST}", f"busybox:1@{DIGEST}"},
    "docker.io/library/cafe": {"cafe:1"},
    "cafe": {"cafe:1"},
    "owner/*": {"owner/app:1"},
    "docker.io/*/*:1": {"owner/app:1", "busybox:1", "cafe:1"},
    "ghcr.io/owner/*": {"ghcr.io/owner/app:1"},
    "ghcr.io/owner/app*": {"ghcr.io/owner/app:1"},
    "ghcr.io/owner/**": {"ghcr.io/owner/app:1", "ghcr.io/owner/a/b:2"},
    "ghcr.io/**/b:2": {"ghcr.io/owner/a/b:2"},
    "ghcr.io/**": {"ghcr.io/owner/app:1", "ghcr.io/owner/a/b:2"},
    "ghcr.*/owner/*": {"ghcr.io/owner/app:1"},
    "*.io/**:2": {"ghcr.io/owner/a/b:2"},
    "127.0.0.1:5000/*": {"127.0.0.1:5000/x"},
    "127.0.0.*:5000/*": {"127.0.0.1:5000/x"},
    "127.0.0.1/*": set(),
    "*.0.0.1/*": set(),
    "localhost/*": set(),
    "busybox:5000/**": {"busybox:5000/evil"},
}
"""Of `CANDIDATES`, all that each pattern allows."""

CANDIDATES = {reference for some in ALLOWED.values() for reference in some}

SENSELESS = (
    *(
        "",
        "*",
        "**",
        "*/*",
        "**/app",
        "*:1",
        "ghcr.io",
        "ghcr.io/",
        "127.0.0.1:5000",
        "localhost:5000",
        "localhost",
    ),
    *(
        "127.0.0.1:*/x",
        "*:5000/x",
        "ghcr.io/a**",
        "ghcr.io/***",
        "**.io/x",
        "x:**",
        "[a]busybox",
        "busybo?",
        "A*",
        "x@*",
    ),
    *("x@sha256:0*", "https://ghcr.io/*", "ghcr.io/a b", "!busybox", "../*", "*.*.*.*:1/"),
)


@pytest.mark.parametrize(("text", "parts"), READ.items())
def test_references(text: str, parts: tuple[str, ...]) -> None:
    """A reference is read as an engine reads it; written in full, it says the same."""
    found = Reference.parse(text)
    assert found == parts
    assert Reference.parse(str(found)) == found


@pytest.mark.parametrize(("text", "hint"), REFUSED.items())
def test_no_references(text: str, hint: str) -> None:
    """What an engine could take for an id, for a path or for nothing at all is no reference."""
    with pytest.raises(Mistake) as mistake:
        Reference.parse(text)
    assert hint in str(mistake.value)


@pytest.mark.parametrize(("pattern", "allowed"), ALLOWED.items())
def test_patterns(pattern: str, allowed: set[str]) -> None:
    """A pattern allows what is like it in every part, and nothing else."""
    parsed = ImagePattern.parse(pattern)
    assert {text for text in CANDIDATES if parsed.allows(Reference.parse(text))} == allowed


@pytest.mark.parametrize("pattern", SENSELESS)
def test_no_patterns(pattern: str) -> None:
    """What names no registry or repository, leaves a port open, or matches as nobody expects, is no pattern."""
    with pytest.raises(Mistake):
        ImagePattern.parse(pattern)


def test_without_patterns() -> None:
    """Without any, well-known public registries are allowed, and no name that could lead into this host's network."""
    patterns = Policy().image_patterns
    allowed = {text for text in CANDIDATES | READ.keys() if any(one.allows(Reference.parse(text)) for one in patterns)}
    assert {Reference.parse(text).domain for text in allowed} == {"docker.io", "ghcr.io"}
    for registry in PUBLIC_REGISTRIES:
        assert any(one.allows(Reference.parse(f"{registry}/a/b/c:1")) for one in patterns)
