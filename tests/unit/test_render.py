"""What a sandbox becomes: a whole container."""

from reconciler.model.labels import Owner
from reconciler.planning.admission import effective
from reconciler.planning.render import render
from reconciler.spec.policy import Policy
from reconciler.spec.sandbox import Sandbox


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
