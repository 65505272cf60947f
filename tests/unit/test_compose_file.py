"""A whole Compose file with one service is read as that service."""

from pathlib import Path

from reconciler.model.desired import Declaration
from reconciler.sources.directory import read_file, rest_of

WHOLE = """\
name: shop
version: "3.8"
x-common: &common
  mem_limit: 64m
services:
  web:
    <<: *common
    image: busybox
    labels: {tier: front}
networks: {front: {}}
volumes:
  data:
"""


def read(path: Path, text: str) -> Declaration:
    path.write_text(text)
    outcome = read_file(path)
    assert isinstance(outcome, Declaration), outcome
    return outcome


def test_one_service(tmp_path: Path) -> None:
    """The service is the sandbox, with its lines and columns in the whole file."""
    declaration = read(tmp_path / "web.yaml", WHOLE)
    alone = read(tmp_path / "alone.yaml", "image: busybox\nmem_limit: 64m\nlabels: {tier: front}\n")
    assert declaration.sandbox == alone.sandbox
    assert declaration.lines == {"mem_limit": 4, "image": 8, "labels": 9, "labels.tier": 9}
    assert declaration.places["labels.tier"] == (9, 20, "")
    assert declaration.places["mem_limit"] == (4, 14, "line 7 uses it as '*common'")


def test_notes(tmp_path: Path) -> None:
    """What the file has besides is noted, and that the sandbox has another name than the service."""
    assert [str(note).removeprefix(f"{tmp_path}/") for note in read(tmp_path / "shop.yaml", WHOLE).notes] == [
        "shop.yaml:6:3: the service 'web' is the sandbox 'shop' here (a sandbox has the name of its file)",
        "shop.yaml:10:1: 'networks' is left out (a sandbox has what its service says)",
        "shop.yaml:11:1: 'volumes' is left out (a sandbox has what its service says)",
    ]


def test_of_a_broken_one_the_rest_is_judged(tmp_path: Path) -> None:
    """What is right in a service is checked against the policy, as that of any broken file."""
    path = tmp_path / "web.yaml"
    path.write_text(WHOLE.replace("image: busybox", "user: root"))
    rest = rest_of(path)
    assert rest is not None
    assert rest.sandbox.model_fields_set == {"mem_limit", "labels"}
