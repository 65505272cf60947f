"""Whatever the bytes of a sandbox's file: a decision within the policy or a clear refusal, and no harm beside it."""

import json
import re
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from reconciler.model.plan import Reason
from reconciler.sources.compose_keys import TABLE, Spelling
from reconciler.sources.document import FileBroken, read_document
from reconciler.spec.parts import Healthcheck, Port, Tmpfs, Volume
from reconciler.spec.policy import Policy
from reconciler.spec.sandbox import Sandbox
from tests.hostile.from_bytes import FromBytes
from tests.hostile.shapes import SHAPES

PEAK_BYTES_MAX = 64 << 20
CASES = [file.read_bytes() for file in sorted((Path(__file__).parent.parent / "unit" / "cases").glob("*/*.yaml"))]

many = settings(
    max_examples=300, derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

DECISIONS = {
    "image: app:1": Reason.ABSENT,
    "image: app:1\nvolumes: [{source: /usr/lib, target: /lib}]": Reason.ABSENT,
    "image: app:1\nstate: stopped": Reason.STOPPED,
    "suspend: somebody looks at it": Reason.SUSPENDED,
    "image: evil:1": Reason.POLICY_VIOLATION,
    "image: app:1\nmem_limit: 513m": Reason.POLICY_VIOLATION,
    "image: app:1\nuser: 999:1000": Reason.POLICY_VIOLATION,
    "image: app:1\nvolumes: [{source: /etc, target: /a}]": Reason.POLICY_VIOLATION,
    "image: app:1\nvolumes: [{source: /usr/bin, target: /a}]": Reason.POLICY_VIOLATION,
    "image: app:1\nvolumes: [{source: /usr, target: /a, read_only: true}]": Reason.POLICY_VIOLATION,
    "image: app:1\nvolumes: [{source: /usr/lib, target: /a, read_only: false}]": Reason.POLICY_VIOLATION,
    "image: &a app:1\nlabels: &b {a: *a}\nenvironment: {<<: *b, c: d}": Reason.ABSENT,
    "image: app:1\ncommand: [echo, $$HOME]": Reason.ABSENT,
    "image: app:1\ncommand: [echo, $HOME]": Reason.INVALID_FILE,
    "image: app:1\ncommand: &a [*a]": Reason.INVALID_FILE,
    "image: app:1\nprivileged: true": Reason.INVALID_FILE,
    "image: [": Reason.INVALID_FILE,
    "": Reason.INVALID_FILE,
}

HARMS = {
    "takes a neighbour's port": "image: app:1\nports: [{target: 3000, published: 61000}]",
    "forges a line of the log": 'suspend: "why\\nERROR all is lost"',
    "hides in a reason": 'suspend: "a\\u200bb\\U000E0041"',
    "hides in a path": 'image: app:1\nvolumes: [{source: "/usr/\\u200b", target: /a}]',
}

LONG = 30_000
"""Characters, nearly as many as a file holds."""
TEXTS: dict[str, tuple[type[BaseModel], str]] = {
    **{
        key: (Sandbox, f'{{"{key}": "#"}}')
        for key in Sandbox.model_fields
        if key not in {"environment", "labels", "ports", "tmpfs", "volumes", "healthcheck"}
    },
    "environment": (Sandbox, '{"environment": {"#": "#"}}'),
    "a list of environment": (Sandbox, '{"environment": ["#", "A=#"]}'),
    "labels": (Sandbox, '{"labels": {"#": "#"}}'),
    "ports": (Sandbox, '{"ports": ["#"]}'),
    "tmpfs": (Sandbox, '{"tmpfs": ["#", "/run:size=#", "/run:mode=#"]}'),
    "volumes": (Sandbox, '{"volumes": [{"type": "#", "source": "#", "target": "#"}]}'),
    "healthcheck": (Sandbox, '{"healthcheck": {"test": "#", "interval": "#"}}'),
    "unknown keys": (Sandbox, '{"#": "#"}'),
    "images of the policy": (Policy, '{"images": ["#"]}'),
    "volumes of the policy": (Policy, '{"volumes": [{"root": "#"}]}'),
    "published": (Policy, '{"published": "#"}'),
    "runtime": (Policy, '{"runtime": "#"}'),
}
"""Where a file says text, and how; it stands for each `#`."""
HEADS = ["", "a", "/", "[", "/a:", "0"]
UNITS = [*":/-._a0A,=*@[! ", "a/", "a.", "a-", "--", "**", "a*"]

KEYS = [
    *(key for model in (Sandbox, Sandbox, Healthcheck, Port, Tmpfs, Volume) for key in model.model_fields),
    *("deploy", "resources", "limits", "memory", "logging", "secrets", "security_opt", "x-a", "expose", "host_ip"),
    *("disable", "privileged", "A", "LD_PRELOAD", "reconciler.instance", "<<", "~", "1", "? a", "[a]", '"\\0"'),
    *("", "a\u202eb", "k" * 2000),
]
VALUES = r"""
010 1_000 0x1F 0o17 1e400 -0 .nan .inf -.inf 22:22 2024-13-45 2001-12-14t21:59:43.10-05:00 no on Y ~ null true false
-1 0 1 100 101 3000 18080 61000 65536 4294967297 0.05 1.0000000001 1.1 6m 512m 513m 99999999999999999999t 64m 65m
10s 2m 121s 1d -5s 1h1h 1000:1000 0:0 root 999:1000 1000 00:00 +0:+0 :1000 2147483648:1000 1000:1000:1000
app:1 busybox evil:1 ghcr.io/a/b@sha256:0 sha256:0123 ../images busybox:$TAG //a a/ - none host bridge
cafe busybox:5000/evil ghcr.io:22/a 127.0.0.1/a
container:neighbour default always never missing on-failure unless-stopped running stopped bind volume
/ /usr /usr/lib /usr/share /usr/bin /usr/bin/docker.sock /usr/.. /usr/lib/../bin /proc/1 /etc /dev/shm /var/run /run
/run:size=64m /run:size=65m /run:exec /run:size=0 /tmp:size=1m,exec 8080:80 0.0.0.0:80:80 3000/udp 3000-3010
A=1 A =A A=B=C LD_PRELOAD=/x reconciler.instance=x com.docker.x=y CMD CMD-SHELL NONE $HOME ${HOME} $$ `id` 'it''s'
"\ud800" "\udfff" "\0" "\e[2J" "\e]0;x\a" "\u202e" "\u2066" "\u200b" "\ufeff" "\N" "\L" "\n" "\t"
*a *b [*a] [*a,*b] {<<:,A:1} "\U0010ffff" "\U00110000" "\q" "\x4" "" '' @ % | > |+9 >- ! ? : , [ ] { } & * # 🙂
""".split()  # noqa: SIM905 - forty lines otherwise
PREFIXES = [*[""] * 12, "!!bool ", "!!int ", "!!binary ", "!!python/object/apply:os.system ", "&a ", "&b ", "*a ", "! "]
LINES = [
    "{}: {}\n",
    "{}: {}\n",
    "{}:\n  - {}\n",
    "{}: &a\n  {}: 1\n",
    "{}:\n  <<: {}\n",
    "{}: |\n  {}\n",
    "? {}\n: {}\n",
    "{}: {} # \n",
    "{}: {}\n---\n",
]


def lists_and_mappings(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.builds("{}: {}".format, st.sampled_from(KEYS), inner)
    lists = st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]")
    return lists | st.lists(pairs, max_size=4).map(lambda items: f"{{{', '.join(items)}}}")


scalars = st.builds(str.__add__, st.sampled_from(PREFIXES), st.sampled_from(VALUES) | st.text(max_size=9))
values = st.recursive(scalars, lists_and_mappings, max_leaves=8)
lines = st.builds(str.format, st.sampled_from(LINES), st.sampled_from(KEYS), values)
documents = st.builds(
    lambda first, rest: (first + "".join(rest)).encode(errors="surrogatepass"),
    st.sampled_from(["image: app:1\n", ""]),
    st.lists(lines, max_size=6),
)

PLAUSIBLE: dict[str, list[Any]] = {
    "image": ["app:1", "app:1", "busybox", "ghcr.io/a/b:1", "evil:1", "busybox:5000/app:1"],
    "command": ["sleep 1", ["sleep", 1, 1.5], None, "x" * 15_000],
    "entrypoint": [["/bin/sh", "-c"], "tini --"],
    "environment": [{"A": "x", "B": 1}, ["A=1", "B="], {}],
    "working_dir": ["/", "/home/node"],
    "hostname": ["web", "A-1", "0"],
    "stop_signal": ["INT", "SIGRTMIN+15", 9],
    "user": ["1000:1000", "999:1000", "1000:0", "2147483647:2147483647"],
    "network_mode": [None],
    "ports": [
        [],
        [3000, "8080"],
        [{"target": 1, "published": 61000}],
        [{"target": 1, "published": 1024}],
        [*range(1, 17)],
    ],
    "mem_limit": ["6m", "512m", "513m", "1t", 536870912],
    "cpus": [0.05, "1", 1.001, 100_000],
    "pids_limit": [1, 100, 101],
    "read_only": [True, False],
    "tmpfs": [["/run"], ["/run:size=64m", "/tmp:size=4k"], [{"target": "/run", "size": "65m"}], ["/m:mode=1777"]],
    "volumes": [
        [{"source": source, "target": "/a", "read_only": read_only}]
        for source in ("/usr/lib", "/usr/share", "/usr", "/usr/bin", "/usr/bin/docker.sock", "/etc", "/proc/self", "/")
        for read_only in (True, False)
    ],
    "healthcheck": [{"test": "true"}, {"test": ["CMD", "true"], "interval": "1s", "retries": 100}, {"disable": True}],
    "stop_grace_period": ["0s", "2m", "121s", "24h"],
    "pull_policy": ["missing", "always", "never"],
    "restart": ["always", "no", "on-failure"],
    "labels": [{"a": "b"}, ["owner=me"], {"reconciler": "x"}],
    "state": ["running", "running", "running", "stopped"],
}
sandboxes = st.fixed_dictionaries(
    {"image": st.sampled_from(PLAUSIBLE["image"])},
    optional={key: st.sampled_from(values) for key, values in PLAUSIBLE.items() if key != "image"},
)
long_values = st.builds(str.__mul__, st.sampled_from(["9", "x", "é", "''", "- "]), st.sampled_from([5_000, 200_000]))


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """Real files in which something was deleted, inserted, doubled or flipped, once or more often."""
    data = draw(st.sampled_from(CASES))
    for _ in range(draw(st.integers(1, 6))):
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(data))] * 2)))
        before, between, after = data[:start], data[start:end], data[end:]
        match draw(st.sampled_from(["delete", "insert", "double", "flip"])):
            case "delete":
                data = before + after
            case "insert":
                data = before + draw(st.binary(max_size=8) | st.sampled_from(VALUES).map(str.encode)) + between + after
            case "double":
                data = before + between * 2 + after
            case "flip" if between:
                data = before + bytes([between[0] ^ 1 << draw(st.integers(0, 7))]) + between[1:] + after
    return data


@pytest.fixture(scope="module")
def from_bytes(tmp_path_factory: pytest.TempPathFactory) -> FromBytes:
    return FromBytes(tmp_path_factory.mktemp("hostile"))


@many
@given(data=st.binary(max_size=400))
def test_any_bytes(data: bytes, from_bytes: FromBytes) -> None:
    """Noise is refused, or harmless."""
    from_bytes(data)


@many
@given(text=st.text())
def test_any_text(text: str, from_bytes: FromBytes) -> None:
    """So is text, of any characters there are."""
    from_bytes(text.encode())


@many
@given(data=documents)
def test_any_document(data: bytes, from_bytes: FromBytes) -> None:
    """So is what has the right keys, and anything behind them."""
    from_bytes(data)


@many
@given(keys=sandboxes)
def test_any_sandbox(keys: dict[str, Any], from_bytes: FromBytes) -> None:
    """What is well-formed is judged by the policy, and stays on the floor."""
    assert from_bytes(json.dumps(keys).encode()) is not Reason.INVALID_FILE


@many
@given(key=st.sampled_from(KEYS), value=long_values)
def test_any_long_value(key: str, value: str, from_bytes: FromBytes) -> None:
    """So is what has more to say than anybody listens to."""
    from_bytes(f"image: app:1\n{key}: {value}\n".encode())


@many
@given(data=mutants())
def test_any_mutant(data: bytes, from_bytes: FromBytes) -> None:
    """So is what was a good file once, or a bad one."""
    from_bytes(data)


@pytest.mark.parametrize("name", SHAPES)
def test_any_shape(name: str, from_bytes: FromBytes) -> None:
    """A file at the limits is decided upon in little memory, whatever its shape."""
    from_bytes.put(SHAPES[name])
    tracemalloc.start()
    try:
        decided = from_bytes.decide()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    from_bytes.check(decided)
    assert peak < PEAK_BYTES_MAX


def cpu_seconds(work: Callable[[], object]) -> float:
    before = time.process_time()
    with suppress(FileBroken, ValidationError):
        work()
    return time.process_time() - before


@pytest.mark.parametrize("field", TEXTS)
def test_no_text_costs_more_than_its_reading(field: str) -> None:
    """Whatever is written over and over in a field: it is judged in a few times what the file takes to be read."""
    model, said = TEXTS[field]
    reading = cpu_seconds(lambda: read_document(b"image:" + b" x" * (LONG // 2), "web.yaml"))
    for head, unit in product(
        ["", "a", "/", "[", "/a:", "0"], [*":/-._a0A,=*@[! ", "a/", "a.", "a-", "--", "**", "a*"]
    ):
        text = head + (unit * LONG)[:LONG] + "!"
        judging = cpu_seconds(partial(model.model_validate, json.loads(said.replace("#", text))))
        assert judging < 30 * reading, f"{head}{unit}{unit}..."


@pytest.mark.parametrize("row", TABLE)
def test_no_spelling_costs_more_than_reading(row: Spelling) -> None:
    """Nor is any pattern of Compose's spellings slow."""
    reading = cpu_seconds(lambda: read_document(b"image:" + b" x" * (LONG // 2), "web.yaml"))
    for head, unit in product(HEADS, [*":/-._a0A,=*@[! ]", "a:", "0-", "a*"]):
        text = head + (unit * LONG)[:LONG] + "!"
        assert cpu_seconds(partial(re.fullmatch, row.pattern, text, re.DOTALL)) < 30 * reading, f"{head}{unit}..."


@pytest.mark.parametrize("text", DECISIONS)
def test_decision(text: str, from_bytes: FromBytes) -> None:
    """Every kind of decision can come of bytes, so that what is checked of each is really checked."""
    assert from_bytes(text.encode()) is DECISIONS[text]


@pytest.mark.parametrize("name", HARMS)
def test_harm(name: str, from_bytes: FromBytes) -> None:
    """What is well-formed and allowed can still be meant badly, and harms nobody."""
    from_bytes(HARMS[name].encode())


@pytest.mark.parametrize(
    ("policy", "text", "rule"),
    [
        ({"limits": {"mem_limit": "1g"}}, "mem_limit: 513m", "memory is limited"),
        ({"limits": {"cpus": 2}}, "cpus: 1.1", "processors are limited"),
        ({"limits": {"pids_limit": 200}}, "pids_limit: 101", "processes are limited"),
    ],
)
def test_the_floor_is_checked(policy: dict[str, Any], text: str, rule: str, tmp_path: Path) -> None:
    """A policy that allows more than the floor is found out by what comes through: the check can fail."""
    from_bytes = FromBytes(tmp_path, Policy.model_validate(policy))
    from_bytes(b"image: app:1")
    with pytest.raises(AssertionError, match=rule):
        from_bytes(f"image: app:1\n{text}".encode())
