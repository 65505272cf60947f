"""`reconciler explain`: each value with its source."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from reconciler.cli.main import cli
from reconciler.model.status import SandboxStatus
from reconciler.planning.describe import configuration
from reconciler.report.store import Store
from reconciler.spec.sandbox import Sandbox
from tests.scene import Scene

SECRET = "correct-horse-battery-staple"  # noqa: S105 - it must not turn up anywhere

FILE = f"""\
image: app:1
command: [serve, --port, "3000"]
environment: {{TOKEN: {SECRET}}}
cpus: 0.5
ports: [3000, {{target: 8080, published: 18080}}]
"""
POLICY = f"""\
limits:
  mem_limit: 256m
runtime: runsc
labels:
  owner: host
defaults:
  user: 2000:2000
  environment:
    LANG: {SECRET}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "sandboxes.d").mkdir()
    (tmp_path / "sandboxes.d" / "web.yaml").write_text(FILE)
    (tmp_path / "policy.yaml").write_text(POLICY)
    return tmp_path


def explain(root: Path, *arguments: str) -> Result:
    options = ["--dir", str(root / "sandboxes.d"), "--state", str(root / "state")]
    options += ["--policy", str(root / "policy.yaml"), "--host", "unix:///nowhere.sock"]
    return CliRunner().invoke(cli, [*options, "explain", *arguments], env={"COLUMNS": "80"})


TABLE = """\
KEY                VALUE                                SOURCE
image              app:1                                web.yaml:1
command            ["serve", "--port", "3000"]          web.yaml:2
entrypoint         (the image's)                        built-in
environment.LANG   (hidden)                             policy.yaml:9
environment.TOKEN  (hidden)                             web.yaml:3
working_dir        (the image's)                        built-in
user               2000:2000                            policy.yaml:7
hostname           (the engine's)                       built-in
network_mode       reconciler.default                   built-in
ports              3000/tcp on 127.0.0.1:(random),      web.yaml:5
                   8080/tcp on 127.0.0.1:18080
mem_limit          256m                                 lowered to policy.yaml:2
cpus               0.5                                  web.yaml:4
pids_limit         100                                  built-in
read_only          false                                built-in
tmpfs              none                                 built-in
volumes            none                                 built-in
healthcheck        (the image's)                        built-in
stop_signal        (the image's)                        built-in
stop_grace_period  10s                                  built-in
pull_policy        missing                              built-in
restart            always                               built-in
labels.owner       host                                 policy.yaml:5
state              running                              built-in
suspend            none                                 built-in
"""


def test_each_value_has_its_source(root: Path) -> None:
    """The file, the policy's rules, defaults and ceilings, and what is built in; all that a file can say is there."""
    said = explain(root, "web")
    assert said.exit_code == 0
    assert said.stdout.startswith(TABLE)
    assert said.stdout.endswith("The policy accepts it.\n")
    assert max(map(len, said.stdout.splitlines())) <= 80


def test_what_nobody_can_change_is_what_is_rendered(root: Path) -> None:
    """Each knob of the container that no file can turn is there, as fixed; the runtime is the policy's."""
    values = json.loads(explain(root, "web", "-o", "json").stdout)["values"]
    sources = {row["key"]: row["source"] for row in values}
    made = configuration(Scene().rendered("web", 61000).spec)
    fixed = made.keys() - Sandbox.model_fields.keys()
    assert {sources[knob] for knob in fixed} == {"fixed by reconciler"}
    assert {"cap_drop", "no_new_privileges", "memswap_limit", "logging", "shm_size"} <= fixed
    assert sources["runtime"] == "policy.yaml:3"


def test_a_label_of_blanks_is_a_row_without_a_value(root: Path) -> None:
    """What cannot be seen ends nothing."""
    (root / "sandboxes.d" / "web.yaml").write_text('image: app:1\nlabels: {tier: "   "}\n')
    said = explain(root, "web")
    assert said.exit_code == 0
    assert re.search(r"^labels\.tier +web\.yaml:2$", said.stdout, re.MULTILINE)


def test_a_chosen_port_is_the_one_in_the_status(root: Path) -> None:
    """What was drawn once is kept, and told."""
    (root / "state" / "status").mkdir(parents=True)
    Store(root / "state").write_status(SandboxStatus(name="web", ports={3000: 61234}))
    assert "127.0.0.1:61234" in explain(root, "web").stdout


def test_the_container_is_the_request_without_secrets(root: Path) -> None:
    """`--container` prints all that the engine is sent; no form of the answer has a value of environment."""
    request = json.loads(explain(root, "web", "--container").stdout)
    assert request["Env"] == ["LANG=(hidden)", "TOKEN=(hidden)"]
    assert request["HostConfig"]["CapDrop"] == ["ALL"]
    assert {request["Labels"][f"reconciler.{label}"] for label in ("fingerprint", "salt")} == {"(hidden)"}
    assert json.loads(explain(root, "web", "-o", "json").stdout)["container"] == request
    assert SECRET not in "".join(explain(root, "web", *form).output for form in ([], ["--container"], ["-o", "json"]))


def test_what_is_accepted_and_means_less_here_is_noted(root: Path) -> None:
    """As `validate` notes it, below the values; and nothing else is noted."""
    assert "note" not in explain(root, "web").stdout
    (root / "sandboxes.d" / "web.yaml").write_text("image: app:1\ncontainer_name: front\n")
    assert explain(root, "web").stdout.splitlines()[-2:] == [
        "The policy accepts it.",
        "note: web.yaml:2:1: container_name: a sandbox has the name of its file (name the file front.yaml)",
    ]
    (note,) = json.loads(explain(root, "web", "-o", "json").stdout)["notes"]
    assert (note["file"], note["line"]) == ("web.yaml", 2)


def test_what_the_policy_refuses_is_explained_all_the_same(root: Path) -> None:
    """Each problem is told, with its line, below the values."""
    (root / "sandboxes.d" / "web.yaml").write_text("image: app:1\nmem_limit: 1g\nuser: 500:500\n")
    said = explain(root, "web").stdout
    assert "mem_limit          1g                                        web.yaml:2" in said
    assert said.splitlines()[-3:] == [
        "The policy refuses it:",
        "web.yaml:2:12: mem_limit 1g is over the policy's ceiling (at most 256m)",
        "web.yaml:3:7: user 500:500 is below the policy's minimum (both ids at least 1000)",
    ]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("wbe", "no sandbox wbe is declared; did you mean web?"),
        ("zzz", "no sandbox zzz is declared; declared: broken, web"),
        ("broken", "broken.yaml:1:1: unknown key 'imag' (did you mean 'image'?)"),
        ("my-app", "My_App.yaml: is not NAME.yaml"),
    ],
)
def test_what_cannot_be_explained_is_an_error(root: Path, name: str, error: str) -> None:
    """An unknown name, with the nearest one, and a broken file, with its problems."""
    (root / "sandboxes.d" / "broken.yaml").write_text("imag: app:1\n")
    (root / "sandboxes.d" / "My_App.yaml").write_text("image: app:1\n")
    failed = explain(root, name)
    assert failed.exit_code == 1
    assert error in failed.stderr
