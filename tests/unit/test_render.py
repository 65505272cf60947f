"""What a sandbox becomes: a whole container."""

from typing import Any

from reconciler.model.container import TMPFS_OPTIONS, PublishedPort
from reconciler.model.labels import Owner
from reconciler.planning.admission import effective
from reconciler.planning.render import render
from reconciler.spec.policy import Policy
from reconciler.spec.sandbox import Sandbox
from tests.scene import Scene


def test_the_labels_of_a_container_say_all_by_which_it_is_known_again() -> None:
    """Ours outrank those of the policy, and they those of the file; what has none of ours is not ours."""
    policy = Policy(labels={"team": "host", "tier": "one"})
    sandbox = effective(Sandbox(image="app:1", labels={"team": "own", "own": "yes"}), policy)
    rendered = render("web", sandbox, policy, Owner("default", "here"), {80: 61000, 22: 61001}, {}, "grain")
    assert rendered.spec.labels == {
        "own": "yes",
        "team": "host",
        "tier": "one",
        "reconciler.instance": "default",
        "reconciler.source": "here",
        "reconciler.sandbox": "web",
        "reconciler.fingerprint": rendered.fingerprint,
        "reconciler.salt": "grain",
        "reconciler.ports": "22:61001,80:61000",
    }


def test_another_fixed_port_is_another_container() -> None:
    """A port that was drawn is not: two that differ in it alone are equally right."""
    scene = Scene()
    drawn = {scene.rendered("web", port).fingerprint for port in (61000, 61001)}
    ports = [[{"target": 3000, "published": port}] for port in (18080, 18081)]
    fixed = {scene.rendered("web", 0, ports=one).fingerprint for one in ports}
    assert (len(drawn), len(fixed), len(drawn | fixed)) == (1, 2, 3)


def test_what_a_file_says_is_in_its_container() -> None:
    """Each key as it is, but for those of which something else follows."""
    keys: dict[str, Any] = {
        "image": "app:1",
        "user": "2000:2001",
        "command": ["serve"],
        "entrypoint": ["/entry"],
        "working_dir": "/srv",
        "environment": {"A": "b"},
        "stop_grace_period": "5s",
        "mem_limit": "64m",
        "cpus": 0.5,
        "pids_limit": 50,
        "read_only": True,
    }
    sandbox = effective(Sandbox.model_validate({**keys, "tmpfs": ["/b:size=8m,mode=700", "/a:size=1m"]}), Policy())
    spec = render("web", sandbox, Policy(runtime="runsc"), Owner("default"), {3000: 61000}, {}, "grain").spec
    assert {key: getattr(spec, key) for key in keys} == {key: getattr(sandbox, key) for key in keys}
    assert (spec.memswap_limit, spec.runtime, spec.network_mode) == (64 << 20, "runsc", "reconciler.default")
    assert spec.ports == (PublishedPort(3000, 61000),)
    assert [(mount.target, mount.size) for mount in spec.tmpfs] == [("/a", 1 << 20), ("/b", 8 << 20)]
    assert set(spec.tmpfs[1].options) == {*TMPFS_OPTIONS, "uid=2000", "gid=2001", f"mode={sandbox.tmpfs[0].mode}"}
