"""What the policy forbids: each problem at the place of what is wrong, with the policy's rule."""

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.model.desired import Declaration
from reconciler.model.errors import Problem
from reconciler.model.world import Image, Source
from reconciler.planning.admission import violations
from reconciler.sources.directory import read_file
from reconciler.spec.policy import Policy

POLICY = Policy.model_validate({"images": ["app:*"], "volumes": [{"root": "/usr"}], "published": "8000-9999"})
DIGEST = f"sha256:{'0' * 64}"
SOURCES = {path: Source(path) for path in ("/etc", "/usr", "/usr/lib")} | {
    path: Source(path, "cannot be read") for path in ("/usr/gone", "/gone")
}

FORBIDDEN = {
    "image": ("image: busybox", "1:8 images"),
    "no image": ("{}", "0:0 "),
    "memory": ("image: app:1\nmem_limit: 1g", "2:12 limits.mem_limit"),
    "cpus": ("image: app:1\ncpus: 2", "2:7 limits.cpus"),
    "processes": ("image: app:1\npids_limit: 101", "2:13 limits.pids_limit"),
    "time to stop": ("image: app:1\nstop_grace_period: 1h", "2:20 limits.stop_grace_period"),
    "user": ("image: app:1\nuser: 1000:999", "2:7 uid_min"),
    "tmpfs as text": ("image: app:1\ntmpfs: /a:size=65m", "2:8 limits.tmpfs"),
    "tmpfs in a list": ("image: app:1\ntmpfs:\n  - /a\n  - /b:size=65m", "4:5 limits.tmpfs"),
    "tmpfs as a mapping": ("image: app:1\ntmpfs:\n  - {target: /b, size: 65m}", "3:24 limits.tmpfs"),
    "port below": ("image: app:1\nports: [80, {target: 81, published: 7999}]", "2:37 published"),
    "port above": ("image: app:1\nports:\n  - target: 80\n    published: 10000", "4:16 published"),
    "volume": (
        "image: app:1\nvolumes:\n  - {source: /usr, target: /a}\n  - {source: /etc, target: /b}",
        "4:14 volumes",
    ),
    "volume to write": (
        "image: app:1\nvolumes:\n  - source: /usr/lib\n    target: /a\n    read_only: false",
        "5:16 volumes",
    ),
    "volume that is not there": ("image: app:1\nvolumes: [{source: /usr/gone, target: /a}]", "2:20 "),
}


@pytest.mark.parametrize(("text", "expected"), FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_place_and_rule(text: str, expected: str, tmp_path: Path) -> None:
    """A problem points at the value that is forbidden, and names the rule, if the policy could say otherwise."""
    (problem,) = problems_of(text, POLICY, tmp_path)
    assert f"{problem.line}:{problem.column} {problem.rule}" == expected


PUBLIC = "allowed: well-known public registries; the policy's owner can list"


@pytest.mark.parametrize(
    ("images", "image", "hint"),
    [
        ([], "busybox", None),
        ([], "registry.k8s.io/pause:3.9", None),
        ([], f"ghcr.io/a/b/c@{DIGEST}", None),
        ([], "127.0.0.1:5000/x:1", f"{PUBLIC} 127.0.0.1:5000/x"),
        ([], "localhost/x", f"{PUBLIC} localhost/x"),
        ([], "ghcr.io:22/x", f"{PUBLIC} ghcr.io:22/x"),
        (["127.0.0.1:5000/x"], "127.0.0.1:5000/x:1", None),
        (["a/*", "x"], "busybox", "allowed: a/*, x; the policy's owner can list docker.io/library/busybox"),
        (["app@sha256:*"], f"app:1@{DIGEST}", None),
        (["app@sha256:*"], "app:1", "allowed: app@sha256:*; the policy's owner can list docker.io/library/app"),
        (["app:1"], f"app:1@{DIGEST}", "allowed: app:1; the policy's owner can list docker.io/library/app"),
    ],
)
def test_images(images: list[str], image: str, hint: str | None, tmp_path: Path) -> None:
    """Well-known public registries need no leave; the hint says what the policy must list for any other."""
    problems = problems_of(f"image: {image}", Policy.model_validate({"images": images}), tmp_path)
    assert [problem.hint for problem in problems] == ([] if hint is None else [hint])


def test_a_volume_that_is_not_there(tmp_path: Path) -> None:
    """Who makes it is told where the policy lets it be."""
    (problem,) = problems_of("image: app:1\nvolumes: ['/usr/gone:/a:ro']", POLICY, tmp_path)
    assert problem.hint == "mount an existing directory or file; allowed roots: /usr"


@pytest.mark.parametrize(("roots", "allowed"), [([], "none"), (["/usr"], "/usr"), (["/usr", "/srv"], "/usr, /srv")])
@pytest.mark.parametrize("there", ["/etc", "/gone"])
def test_nobody_learns_what_is_outside_of_the_roots(there: str, roots: list[str], allowed: str, tmp_path: Path) -> None:
    """What is there and what is not are refused in the same words."""
    policy = Policy.model_validate({"volumes": [{"root": root} for root in roots]})
    (problem,) = problems_of(f"image: app:1\nvolumes: ['{there}:/a:ro']", policy, tmp_path)
    assert problem.message == f"volume {there}: the policy allows no mount from there"
    assert problem.hint == f"allowed roots: {allowed}"


def test_what_the_defaults_say(tmp_path: Path) -> None:
    """What no line of the file says is a problem of the whole file."""
    policy = Policy.model_validate({"defaults": {"mem_limit": "1g"}})
    (problem,) = problems_of("image: app:1", policy, tmp_path)
    assert (problem.line, problem.rule) == (0, "limits.mem_limit")


def test_text_is_one_line_without_the_rule(tmp_path: Path) -> None:
    """In a status, a problem is one line: place, what is wrong, how to mend it."""
    (problem,) = problems_of("image: app:1\ncpus: 2", POLICY, tmp_path)
    assert str(problem) == f"{tmp_path}/a.yaml:2:7: cpus 2 is over the policy's ceiling (at most 1)"


def test_what_an_image_brings_along(tmp_path: Path) -> None:
    """The problem is at the key that forbids it, and the help names what would be allowed."""
    image = Image("app:1", "", "", labels={"a": "x" * 70_000}, volumes=("/data", "/\x1b[2J"))
    problems = problems_of("image: app:1\nread_only: true\ntmpfs: /tmp", POLICY, tmp_path, image)
    assert [str(problem).partition(".yaml:")[2] for problem in problems] == [
        "1:8: its image has 68k of labels (at most 64k)",
        "2:12: its image would write to a volume on /\\x1b[2J (mount a tmpfs on /\\x1b[2J)",
        "2:12: its image would write to a volume on /data (mount a tmpfs on /data)",
    ]
    assert problems_of("image: app:1\ntmpfs: /tmp", POLICY, tmp_path, replace(image, labels={})) == ()


def problems_of(text: str, policy: Policy, directory: Path, image: Image | None = None) -> tuple[Problem, ...]:
    file = directory / "a.yaml"
    file.write_text(text)
    declaration = read_file(file)
    assert isinstance(declaration, Declaration)
    return violations(declaration, policy, SOURCES, image)
