"""From the bytes of one sandbox's file to what is decided for it, and all that must hold whatever the bytes are."""

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reconciler.control.volumes import Volumes
from reconciler.engine.docker.encode import encode
from reconciler.engine.host import EngineHost
from reconciler.model.capabilities import ALL
from reconciler.model.desired import Desired
from reconciler.model.errors import Problem
from reconciler.model.labels import Owner
from reconciler.model.plan import Create, Plan, Pull, Reason, SandboxPlan, Start, Verdict, Verify
from reconciler.model.status import SandboxStatus
from reconciler.model.world import EngineFacts, Image, Network, World
from reconciler.planning.decide import decide
from reconciler.planning.situation import Memory
from reconciler.planning.status_reducer import on_planned
from reconciler.sources.directory import Directory
from reconciler.spec.policy import Policy
from reconciler.spec.sandbox import DesiredState
from tests.scene import BROUGHT, IMAGE, NOW, Scene

SUBJECT, NEIGHBOUR = "subject", "neighbour"
ROOT = "/usr"
"""Sandboxes may mount what is below it. It is there on every Linux, so that an input means the same everywhere."""
SOCKET = Path("/usr/bin/docker.sock")
POLICY = Policy.model_validate(
    {
        "images": ["app:*", "busybox", "ghcr.io/**"],
        "volumes": [{"root": ROOT}],
        "labels": {"owner": "host"},
        "runtime": "runsc",
    }
)
OF_THE_WHOLE = frozenset({"the file is too large", "the file declares nothing"})
"""The only problems that have no line."""
PROBLEM_MAX = 2000
MESSAGE_MAX = 16 * 1024

HOST_CONFIG = (
    {"Memory", "MemorySwap", "NanoCpus", "PidsLimit", "CapAdd", "CapDrop", "SecurityOpt", "Privileged", "ShmSize"}
    | {"NetworkMode", "PortBindings", "PublishAllPorts", "IpcMode", "CgroupnsMode", "PidMode", "UTSMode", "UsernsMode"}
    | {"Init", "ReadonlyRootfs", "Tmpfs", "Mounts", "LogConfig", "RestartPolicy", "AutoRemove", "Runtime"}
)
"""All that may ever be asked of an engine; every other knob is one too many."""


@dataclass(frozen=True)
class Decided:
    """What came of one scan and one decision."""

    desired: Desired
    plan: Plan


class FromBytes:
    """A directory with a good file, beside which another one can be of any bytes, and an engine that runs the good one.

    The policy is `POLICY` unless another one is given.
    """

    def __init__(self, directory: Path, policy: Policy = POLICY) -> None:
        self._policy = policy
        self._volumes = Volumes(EngineHost(SOCKET, {}))
        self._subject = directory / f"{SUBJECT}.yaml"
        self._subject.unlink(missing_ok=True)
        self._directory = Directory(directory)
        (directory / f"{NEIGHBOUR}.yaml").write_text(f"image: {IMAGE}\n")
        self._neighbour = self._directory.scan().declared[NEIGHBOUR]
        scene = Scene(policy=policy)
        container = scene.container(NEIGHBOUR)
        scene.remember(NEIGHBOUR, container)
        self._statuses = scene.statuses
        self._world = World(
            owner=Owner("default"),
            engine=EngineFacts("Docker", "20.10", "1.41", ALL),
            network=Network("reconciler.default", "n" * 64),
            containers=(container,),
            images={IMAGE: Image(IMAGE, container.inspection.image_id, "", **BROUGHT)},
        )

    def __call__(self, data: bytes) -> Reason:
        """What is decided for a file of these bytes; raises AssertionError for what must never be."""
        self.put(data)
        return self.check(self.decide())

    def put(self, data: bytes) -> None:
        self._subject.write_bytes(data)

    def decide(self) -> Decided:
        """As a pass of the controller does it."""
        desired = self._directory.scan()
        sources = self._volumes.examined(desired.declared.values(), self._policy)
        world = replace(self._world, sources=sources)
        memory = Memory(statuses=self._statuses, secret=b"a secret", directory=desired.directory)
        return Decided(desired, decide(desired, self._policy, world, memory, NOW))

    def check(self, decided: Decided) -> Reason:
        desired, plan = decided.desired, decided.plan
        plans = {planned.sandbox: planned for planned in plan.sandboxes}
        assert plans.keys() == desired.names == {SUBJECT, NEIGHBOUR}
        assert (plan.setup, plan.pending_approval.containers, desired.invalid_names) == ((), {}, {})
        assert desired.declared[NEIGHBOUR] == self._neighbour
        assert (plans[NEIGHBOUR].verdict, plans[NEIGHBOUR].actions) == (Verdict.KEEP, ()), plans[NEIGHBOUR]
        if SUBJECT in desired.broken:
            _check_broken(desired.broken[SUBJECT], plans[SUBJECT])
        else:
            self._check_declared(desired, plans[SUBJECT])
        for planned in plan.sandboxes:
            self._check_status(planned, desired)
        return plans[SUBJECT].cause

    def _check_declared(self, desired: Desired, planned: SandboxPlan) -> None:
        declaration = desired.declared[SUBJECT]
        sandbox = declaration.sandbox
        match planned.verdict, planned.cause:
            case Verdict.CREATE, Reason.ABSENT:
                kinds = [type(action) for action in planned.actions if not isinstance(action, Pull)]
                assert kinds[:3] == [Create, Verify, Start]
                assert kinds[3:] == ([Verify] if sandbox.volumes else [])
                assert planned.rendered is not None
                broken = breaches(encode(planned.rendered.spec), self._policy)
                assert not broken, broken
            case Verdict.HOLD, Reason.POLICY_VIOLATION:
                assert planned.actions == ()
                rule = re.escape(declaration.file) + r"(:[1-9]\d*:[1-9]\d*)?: \S"
                assert re.match(rule, planned.message), ascii(planned.message)
            case Verdict.HOLD, Reason.SUSPENDED:
                assert (planned.actions, bool(planned.message)) == ((), sandbox.suspend is not None)
            case Verdict.KEEP, Reason.STOPPED:
                assert (planned.actions, sandbox.state) == ((), DesiredState.STOPPED)
            case _:
                raise AssertionError(f"nobody expects {planned}")

    def _check_status(self, planned: SandboxPlan, desired: Desired) -> None:
        """What is decided can be written down, read again, and shown."""
        before = self._statuses.get(planned.sandbox) or SandboxStatus(name=planned.sandbox)
        status = on_planned(before, planned, desired.file_of(planned.sandbox), {}, NOW)
        assert SandboxStatus.model_validate_json(status.model_dump_json().encode("utf-8")) == status
        check_text(status.message, MESSAGE_MAX)


def _check_broken(problems: tuple[Problem, ...], planned: SandboxPlan) -> None:
    assert (planned.verdict, planned.cause, planned.actions) == (Verdict.HOLD, Reason.INVALID_FILE, ())
    assert all(problem.file == f"{SUBJECT}.yaml" and problem.message for problem in problems)
    of_the_whole = problems[0].message in OF_THE_WHOLE
    assert of_the_whole or any(problem.line >= 1 and problem.column >= 1 for problem in problems), problems
    for problem in problems:
        check_text(str(problem), PROBLEM_MAX)


def check_text(text: str, length_max: int) -> None:
    """Fit for a line of a terminal: nothing that could steer it, turn its text around, or fill it."""
    assert len(text) <= length_max, f"{len(text)} characters: {text[:200]!a}"
    if not text.isprintable():
        unfit = {char for char in text if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
        assert not unfit, f"{unfit!a} in {text[:200]!a}"


def breaches(body: Mapping[str, Any], policy: Policy = POLICY) -> list[str]:
    """The rules that a container's configuration breaks: the floor, said once more in other words, and the policy."""
    host = body["HostConfig"]
    bindings = [one for bound in host["PortBindings"].values() for one in bound]
    uid, _, gid = body["User"].partition(":")
    rules = {
        "memory is limited": 6 << 20 <= host["Memory"] <= min(512 << 20, policy.limits.mem_limit),
        "there is no swap": host["MemorySwap"] == host["Memory"],
        "processors are limited": 0 < host["NanoCpus"] <= 1e9 * min(1, policy.limits.cpus),
        "processes are limited": 1 <= host["PidsLimit"] <= min(100, policy.limits.pids_limit),
        "no capability is left": host["CapDrop"] == ["ALL"] and not host["CapAdd"],
        "no privilege can be gained": host["SecurityOpt"] == ["no-new-privileges:true"] and host["Privileged"] is False,
        "the user is a number and nobody": all(
            re.fullmatch(r"[1-9][0-9]{0,9}", id_) and policy.uid_min <= int(id_) < 2**31 for id_ in (uid, gid)
        ),
        "ports are open to this host alone": host["PublishAllPorts"] is False
        and all(one["HostIp"] == "127.0.0.1" and 1024 <= int(one["HostPort"]) <= 65535 for one in bindings),
        "the network is the isolated one or none": host["NetworkMode"] in {"reconciler.default", "none"},
        "nothing is shared with the host": not (host["PidMode"] or host["UTSMode"] or host["UsernsMode"])
        and host["IpcMode"] == host["CgroupnsMode"] == "private",
        "every mount is allowed": all(_is_mountable(mount, policy) for mount in host["Mounts"]),
        "every tmpfs is limited": all(
            _is_limited(options, policy) and not re.match("/(proc|sys|dev)?(/|$)", f"{target}/")
            for target, options in host["Tmpfs"].items()
        ),
        "the engine restarts nothing": host["RestartPolicy"]["Name"] == "no" and host["AutoRemove"] is False,
        "it stops in time": 0 <= body["StopTimeout"] <= policy.limits.stop_grace_period,
        "the log is bounded": host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"},
        "the runtime is the policy's": host.get("Runtime") == policy.runtime,
        "the image is allowed": not policy.images or _is_allowed(body["Image"]),
        "our labels are ours": _are_ours(body["Labels"], policy),
        "variables have values": all("=" in entry.lstrip("=") for entry in body["Env"]),
        "nothing else is asked": host.keys() <= HOST_CONFIG,
        "an engine can read it": _is_json(body),
    }
    return [rule for rule, holds in rules.items() if not holds]


def _is_allowed(image: str) -> bool:
    """Of ghcr.io all, of the Hub two repositories, and of nobody else anything."""
    hub = re.fullmatch(r"((index\.)?docker\.io/)?(library/)?(app|busybox)([:@][^/]*)?", image)
    return image.startswith("ghcr.io/") or hub is not None


def _is_mountable(mount: Mapping[str, Any], policy: Policy) -> bool:
    source = Path(mount["Source"])
    return (
        mount["Type"] == "bind"
        and any(source.is_relative_to(Path(root.root).resolve()) for root in policy.volumes)
        and source == source.resolve(strict=True)
        and not SOCKET.is_relative_to(source)
        and mount["ReadOnly"] is True
        and not re.match("/(proc|sys|dev)?(/|$)", f"{mount['Target']}/")
    )


def _is_limited(options: str, policy: Policy) -> bool:
    match = re.fullmatch(
        r"rw,nosuid,nodev,noexec,uid=[0-9]{4,},gid=[0-9]{4,},mode=1?[0-7]{3},size=([1-9][0-9]*)", options
    )
    return match is not None and int(match[1]) <= policy.limits.tmpfs


def _are_ours(named: Mapping[str, str], policy: Policy) -> bool:
    reserved = {name for name in named if name.startswith(("reconciler.", "com.docker."))}
    return (
        reserved == {f"reconciler.{name}" for name in ("instance", "source", "sandbox", "fingerprint", "salt", "ports")}
        and (named["reconciler.instance"], named["reconciler.sandbox"]) == ("default", SUBJECT)
        and policy.labels.items() <= named.items()
    )


def _is_json(body: Mapping[str, Any]) -> bool:
    """As strict as an engine: no NaN, no surrogate."""
    try:
        return len(json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8")) < 1 << 20
    except ValueError:
        return False
