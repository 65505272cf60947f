"""The policy's file."""

import os
from pathlib import Path

import pytest

from reconciler.model.errors import PolicyInvalid
from reconciler.sources.policy_file import read_policy, rule_lines
from reconciler.spec.policy import Limits, OnViolation, Policy, Removals, Replacements, VolumeRoot
from reconciler.spec.sandbox import Port, Sandbox
from reconciler.spec.units import GIB, MIB

WHOLE = """\
sandboxes_max: 8
limits:
  mem_limit: 1g
  cpus: 2
  pids_limit: 200
  tmpfs: 32m
  disk: 10g
  log_rate: 2m
  stop_grace_period: 1m
images: ["ghcr.io/openclaw/*", "busybox:*"]
uid_min: 2000
volumes:
  - root: /srv/sandboxes
  - {root: /srv/scratch, read_only: false}
published: "8000-9999"
runtime: runsc
labels: {openclaw-wizard: "true"}
removals: {max: 10, share: 0.25}
replacements: {max_parallel: 4}
require_kernel_facts: true
on_violation: report
defaults:
  image: busybox:1.36
  ports: [8080]
"""

BROKEN = {
    "unknown key": ("sandbox_max: 1", "1:1: unknown key 'sandbox_max' (did you mean 'sandboxes_max'?)"),
    "unknown limit": ("limits: {mem_limt: 1g}", "1:10: unknown key 'mem_limt' in limits (did you mean 'mem_limit'?)"),
    "too many": ("sandboxes_max: 10001", "1:16: sandboxes_max: must be less than or equal to 10000"),
    "negative": ("sandboxes_max: -1", "1:16: sandboxes_max: must be greater than or equal to 0"),
    "boolean": ("sandboxes_max: true", "1:16: sandboxes_max: must be a whole number"),
    "root": ("uid_min: 0", "1:10: uid_min: must be greater than or equal to 1"),
    "no memory": (
        "limits: {mem_limit: 0}",
        "1:21: limits.mem_limit: 0 is too little (at least 6m; 0 is not unlimited)",
    ),
    "no disk": ("limits: {disk: 0}", "1:16: limits.disk: 0 is too little (at least 1m; 0 is not unlimited)"),
    "no bound of cpus": (
        "limits: {cpus: .inf}",
        "1:16: limits.cpus: '.inf' is not a number of CPUs (write such as 0.5)",
    ),
    "share": ("removals: {share: 50}", "1:19: removals.share: must be less than or equal to 1"),
    "whole host": ("volumes: [{root: /}]", "1:18: volumes[0].root: is the whole host (allow a directory)"),
    "no mapping": ("volumes: [/srv]", "1:11: volumes[0]: must be a mapping"),
    "pattern": ('images: [""]', "1:10: images[0]: is empty (write such as ghcr.io/owner/*)"),
    "pattern with a port left open": (
        'images: ["app", "127.0.0.1:*/app"]',
        "1:17: images[1]: '127.0.0.1:*/app' is not an image pattern (write such as ghcr.io/owner/* or docker.io/**)",
    ),
    "pattern of a registry alone": (
        "images: [ghcr.io]",
        "1:10: images[0]: 'ghcr.io' is not an image pattern (write such as ghcr.io/owner/* or docker.io/**)",
    ),
    "images as text": ("images: busybox", "1:9: images: must be a list, not 'busybox'"),
    "one port": ("published: 8000", "1:12: published: 8000 is not a range of ports (write such as 8000-9999)"),
    "port of a list": (
        "published: 8000-9999,5432",
        "1:12: published: '8000-9999,5432' is not a range of ports (write such as 8000-9999)",
    ),
    "ports of root": (
        "published: 1023-9999",
        "1:12: published: '1023-9999' is out of range (the lower first, 1024 to 65535)",
    ),
    "ports the other way round": (
        "published: 9999-8000",
        "1:12: published: '9999-8000' is out of range (the lower first, 1024 to 65535)",
    ),
    "runtime": ("runtime: /bin/sh", "1:10: runtime: '/bin/sh' is not a runtime name (write such as runsc)"),
    "labels": (
        "labels: {reconciler.instance: x}",
        "1:10: labels.reconciler.instance: is a reserved label (do not begin with reconciler. or com.docker.)",
    ),
    "on_violation": ("on_violation: ignore", "1:15: on_violation: must be 'stop' or 'report'"),
    "mistake in the defaults": (
        "defaults:\n  image: busybox\n  cpus: 0",
        "3:9: defaults.cpus: 0 is out of range (0.05 to 100000; 0 is not unlimited)",
    ),
    "forbidden in the defaults": (
        "defaults:\n  privileged: true",
        "2:3: 'privileged' is forbidden: it would be root on the host (leave it out)",
    ),
    "state in the defaults": (
        "defaults:\n  state: stopped",
        "2:10: defaults.state: cannot be a default (say it in the file of one sandbox)",
    ),
    "suspend in the defaults": (
        "defaults:\n  suspend: why",
        "2:12: defaults.suspend: cannot be a default (say it in the file of one sandbox)",
    ),
    "empty": ("", "the file declares nothing (`{}` is all defaults)"),
    "twice": ("uid_min: 1000\nuid_min: 1", "2:1: the key 'uid_min' is given twice (it also stands in line 1)"),
}


def problems_of(file: Path) -> list[str]:
    with pytest.raises(PolicyInvalid) as caught:
        read_policy(file)
    return [str(problem).removeprefix(f"{file}:").strip() for problem in caught.value.problems]


def policy_of(text: str, tmp_path: Path) -> Policy:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    return read_policy(file)


def test_whole(tmp_path: Path) -> None:
    """Every key of a policy is read."""
    policy = policy_of(WHOLE, tmp_path)
    assert policy == Policy(
        sandboxes_max=8,
        limits=Limits(
            mem_limit=1024 * MIB,
            cpus=2.0,
            pids_limit=200,
            tmpfs=32 * MIB,
            disk=10 * GIB,
            log_rate=2 * MIB,
            stop_grace_period=60,
        ),
        images=("ghcr.io/openclaw/*", "busybox:*"),
        uid_min=2000,
        volumes=(VolumeRoot(root="/srv/sandboxes"), VolumeRoot(root="/srv/scratch", read_only=False)),
        published="8000-9999",
        runtime="runsc",
        labels={"openclaw-wizard": "true"},
        removals=Removals(max=10, share=0.25),
        replacements=Replacements(max_parallel=4),
        require_kernel_facts=True,
        on_violation=OnViolation.REPORT,
        defaults=Sandbox(image="busybox:1.36", ports=(Port(target=8080),)),
    )
    assert policy.model_fields_set == set(Policy.model_fields)


def test_built_in(tmp_path: Path) -> None:
    """What is not said is as in the built-in policy: 5 sandboxes of 512 MB, 1 CPU and 100 processes."""
    policy = policy_of("{}", tmp_path)
    assert policy == Policy()
    assert policy.sandboxes_max == 5
    assert (policy.limits.mem_limit, policy.limits.cpus, policy.limits.pids_limit) == (512 * MIB, 1.0, 100)
    assert (policy.images, policy.volumes, policy.runtime) == ((), (), None)


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_broken(text: str, message: str, tmp_path: Path) -> None:
    """A broken policy is refused whole, with the line and column of what is wrong."""
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    assert problems_of(file) == [message]


def test_not_there(tmp_path: Path) -> None:
    """A policy file that is missing is an error, never the built-in policy."""
    assert problems_of(tmp_path / "policy.yaml") == ["cannot be read: No such file or directory"]


def test_not_a_file(tmp_path: Path) -> None:
    """A directory and a FIFO, which blocks whoever opens it, are refused at once."""
    os.mkfifo(tmp_path / "fifo")
    assert problems_of(tmp_path) == ["is not a regular file (put a file there)"]
    assert problems_of(tmp_path / "fifo") == ["is not a regular file (put a file there)"]


def test_link(tmp_path: Path) -> None:
    """The host's owner may link to the policy from anywhere."""
    (tmp_path / "real.yaml").write_text("uid_min: 5000")
    (tmp_path / "link.yaml").symlink_to(tmp_path / "real.yaml")
    assert read_policy(tmp_path / "link.yaml").uid_min == 5000


def test_fingerprint(tmp_path: Path) -> None:
    """The fingerprint tells policies apart that say different things, and only those; of values it tells nothing."""
    texts = [
        "{}",
        "uid_min: 1001",
        "defaults: {environment: {A: b}}",
        "defaults: {environment: {B: b}}",
        "defaults: {cpus: 1}",
        "defaults: {cpus: 0.5}",
        "labels: {a: b}",
    ]
    fingerprints = [policy_of(text, tmp_path).fingerprint for text in texts]
    assert len(set(fingerprints)) == len(texts)
    assert policy_of("uid_min: 1000\nlimits: {mem_limit: 512m}", tmp_path).fingerprint == Policy().fingerprint
    assert policy_of("defaults: {environment: {A: c}}", tmp_path).fingerprint == fingerprints[2]
    assert all(len(fingerprint) == 16 and int(fingerprint, 16) for fingerprint in fingerprints)


def test_a_rule_is_found_in_the_file(tmp_path: Path) -> None:
    """Who is told of a rule can be told where it stands, also below another key."""
    path = tmp_path / "policy.yaml"
    path.write_text(WHOLE)
    lines = rule_lines(path)
    assert (lines["sandboxes_max"], lines["limits.mem_limit"], lines["defaults.ports"]) == (1, 3, 24)
    path.write_text("defaults:\n  deploy:\n    resources: {limits: {cpus: 1}}\n")
    assert rule_lines(path)["defaults.cpus"] == 3
