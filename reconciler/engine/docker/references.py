"""References to images, as an engine reads them: `docker.io/library/busybox:1.36`, `busybox@sha256:...`."""


def tagged(reference: str) -> str:
    """The reference with the tag that an engine supplies, so that `cafe` is never taken for the start of an id."""
    _, _, last = reference.rpartition("/")
    return reference if ":" in last or "@" in last else f"{reference}:latest"


def familiar(reference: str) -> str:
    """In the short form for Docker Hub, which an engine uses itself: `busybox:1.36`."""
    return reference.removeprefix("docker.io/").removeprefix("library/")


def repository(reference: str) -> str:
    """In the short form, without tag and digest."""
    name, _, _ = familiar(reference).partition("@")
    path, slash, last = name.rpartition("/")
    return path + slash + last.partition(":")[0]


def digest_of(reference: str, digests: list[str]) -> str:
    """Of an image's repository digests the one that the reference means; empty when there are none."""
    wanted = repository(reference), reference.partition("@")[2]
    return max(digests, key=lambda digest: _likeness(wanted, digest), default="")


def _likeness(wanted: tuple[str, str], digest: str) -> tuple[bool, bool]:
    return repository(digest) == wanted[0], digest.partition("@")[2] == wanted[1]
