"""References to images, and the patterns that allow them: `busybox:1.36`, `ghcr.io/owner/*@sha256:*`."""

import re
from dataclasses import dataclass
from typing import Annotated, NamedTuple, Self

from pydantic import AfterValidator, WithJsonSchema

from reconciler.spec.mistake import Mistake, shown

REFERENCE_MAX = 512
NAME_MAX = 255
"""Without tag and digest; an engine takes no more."""
ID_DIGITS = 64
HUB = "docker.io"
PUBLIC_REGISTRIES = (
    HUB,
    "ghcr.io",
    "quay.io",
    "registry.k8s.io",
    "registry.gitlab.com",
    "gcr.io",
    "public.ecr.aws",
    "mcr.microsoft.com",
)
"""Well-known registries on the public internet: allowing them opens no private network."""


def _syntax(star: str = "") -> str:
    """The syntax of registries and engines, each part in a group; `star` may stand wherever letters do.

    What comes before a `/` and has a dot or a port, or is `localhost`, is a registry: never the beginning of a path.
    """
    end, word = f"[a-zA-Z0-9{star}]", f"[a-z0-9{star}]+"
    label = f"{end}(?:[a-zA-Z0-9{star}-]*{end})?"
    domain = rf"(?:localhost|(?=[^/]*[.:]){label}(?:\.{label})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?"
    component = rf"{word}(?:(?:\.|__?|-+){word})*"
    tag = f"[A-Za-z0-9_{star}][A-Za-z0-9_.{star}-]{{0,127}}"
    digest = rf"sha256:(?:[0-9a-f]{{64}}|\{star})" if star else "sha256:[0-9a-f]{64}"
    return (
        rf"(?:({domain})/|(?!(?:localhost|[^/]*[.:][^/]*)/))"
        rf"({component}(?:/{component})*)(?::({tag}))?(?:@({digest}))?"
    )


_ID = re.compile(r"(?:sha(?:256|384|512):)?[0-9a-f]+")
"""What an engine takes for an image's id, or for the beginning of one."""
_REFERENCE = re.compile(f"(?!{_ID.pattern}$){_syntax()}")
_PATTERN = re.compile(
    r"(?!\*+(?:[/:@]|$))"  # begins with no name
    r"(?!(?:localhost|[^/:@]*\.[^/:@]*)(?:[:@][^/]*)?$)"  # is a registry alone
    r"(?!.*(?:[^/]\*\*|\*\*[^/:@]))"  # `**` is all between two `/`
    f"{_syntax('*')}"
)


def _bounded(text: str) -> None:
    """Raises `Mistake` for what is too long to be taken apart: that takes a time that grows with its square."""
    if len(text) > REFERENCE_MAX:
        raise Mistake("is too long", f"at most {REFERENCE_MAX} characters")


def _parts(found: re.Match[str]) -> tuple[str, str, str, str]:
    """Domain, path, tag and digest; what was left out of the first two is as an engine reads it."""
    domain, path, tag, digest = (part or "" for part in found.groups())
    domain = HUB if domain in ("", "index.docker.io") else domain
    if domain == HUB and "/" not in path and path != "**":
        path = f"library/{path}"
    return domain, path, tag, digest


class Reference(NamedTuple):
    """The parts of a reference, as an engine reads them: `busybox` is `docker.io`, `library/busybox`, `latest`.

    The tag is empty where only a digest was given; where both were, the digest alone says which image it is.
    """

    domain: str
    path: str
    tag: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `Mistake` for what is no reference."""
        if not text:
            raise Mistake("is empty", "name an image, such as busybox:1.36")
        _bounded(text)
        if _ID.fullmatch(text):
            if ":" in text or len(text) >= ID_DIGITS:
                raise Mistake("is the id of an image, not its name", "write such as name@sha256:... to fix the content")
            raise Mistake(f"{shown(text)} can be the beginning of an image's id", f"write {HUB}/library/{text}:TAG")
        if not (found := _REFERENCE.fullmatch(text)):
            hint = "use small letters" if _REFERENCE.fullmatch(text.lower()) else "write such as name:tag"
            raise Mistake(f"{shown(text)} is not an image reference", hint)
        domain, path, tag, digest = _parts(found)
        if len(f"{domain}/{path}") > NAME_MAX:
            raise Mistake("is too long", f"at most {NAME_MAX} characters before the tag")
        return cls(domain, path, tag or ("" if digest else "latest"), digest)

    @property
    def repository(self) -> str:
        """Without tag and digest."""
        return f"{self.domain}/{self.path}"

    def __str__(self) -> str:
        """In full, so that no engine takes it for anything else."""
        return self.repository + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


@dataclass(frozen=True, slots=True)
class ImagePattern:
    """What a reference's parts must be like, each by itself.

    `*` stands for what has no `/` in it (in a registry's name no `.`), `**` for the rest of a path; a port is never
    left open. A tag that is left out is any tag. A digest fixes other content than a tag: where the pattern says which
    tags, a reference with a digest is only allowed if the pattern speaks of digests too.
    """

    globs: tuple[re.Pattern[str], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `Mistake` for what is no pattern."""
        if not text:
            raise Mistake("is empty", "write such as ghcr.io/owner/*")
        _bounded(text)
        if not (found := _PATTERN.fullmatch(text)):
            raise Mistake(f"{shown(text)} is not an image pattern", f"write such as ghcr.io/owner/* or {HUB}/**")
        domain, path, tag, digest = _parts(found)
        digests = digest or ("**" if tag in ("", "*") else "")
        return cls((_glob(domain, "[^.:]*"), _glob(path, "[^/]*"), _glob(tag or "*", ".*"), _glob(digests, ".+")))

    def allows(self, reference: Reference) -> bool:
        """Whether each part of the reference matches."""
        return all(glob.fullmatch(part) for glob, part in zip(self.globs, reference, strict=True))


def _glob(pattern: str, star: str) -> re.Pattern[str]:
    pieces = re.split(r"(\*\*?)", pattern)
    return re.compile("".join({"*": star, "**": ".*"}.get(piece) or re.escape(piece) for piece in pieces))


def _image(text: str) -> str:
    Reference.parse(text)
    return text


def _pattern(text: str) -> str:
    ImagePattern.parse(text)
    return text


Image = Annotated[
    str,
    AfterValidator(_image),
    WithJsonSchema({"type": "string", "maxLength": REFERENCE_MAX, "pattern": f"^{_REFERENCE.pattern}$"}),
]
"""A reference as it was written."""
Pattern = Annotated[
    str,
    AfterValidator(_pattern),
    WithJsonSchema({"type": "string", "maxLength": REFERENCE_MAX, "pattern": f"^{_PATTERN.pattern}$"}),
]
"""An `ImagePattern` as it was written."""
