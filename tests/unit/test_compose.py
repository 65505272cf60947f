"""What becomes of each way to write a key of a Compose service, and that nothing else does."""

from pathlib import Path
from textwrap import indent
from typing import NamedTuple

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli.schema import json_schema
from reconciler.model.desired import Declaration
from reconciler.model.errors import PolicyInvalid, Problem
from reconciler.sources.compose_keys import KEYS, Handling
from reconciler.sources.directory import read_file
from reconciler.sources.document import read_document
from reconciler.sources.policy_file import policy_notes, read_policy
from reconciler.spec.policy import Policy
from reconciler.spec.sandbox import Sandbox


class Row(NamedTuple):
    """A line of a service, the same in a sandbox's words, and the note or the problem that it is told with."""

    written: str
    meaning: str | None
    told: str = ""


REFUSED = None

BRIDGE = "a sandbox is on the isolated bridge, or on none with `network_mode: none`"
BACKOFF = "it is tried after pauses that grow (from 1 s to 5 minutes; nothing is given up)"
HAS_NO_SWAP = "there is no swap (`mem_limit` is all the memory there is)"
NOT_RESERVED = "nothing is reserved for a sandbox (`mem_limit` and `cpus` are its limits)"
NOT_RELABELLED = "nothing is relabelled for SELinux"
SWARM = "only a Swarm heeds it (leave it out)"

ROWS = [
    # what is so anyway
    Row("privileged: false", ""),
    Row("init: true", ""),
    Row("tty: false", ""),
    Row("stdin_open: false", ""),
    Row("cap_drop: [ALL]", ""),
    Row("cap_drop: [NET_RAW, MKNOD]", ""),
    Row("security_opt: ['no-new-privileges:true']", ""),
    Row("security_opt: [no-new-privileges]", ""),
    Row("shm_size: 64m", ""),
    Row("shm_size: 64MB", ""),
    Row("ipc: private", ""),
    Row("oom_kill_disable: false", ""),
    Row("oom_score_adj: 0", ""),
    Row("scale: 1", ""),
    Row("version: '3.8'", ""),
    Row("x-anything: {at: all}", ""),
    Row("deploy: {}", ""),
    # the container
    Row("hostname: web", "hostname: web"),
    Row("stop_signal: QUIT", "stop_signal: SIGQUIT"),
    Row("stop_signal: 3", "stop_signal: '3'"),
    Row(
        "container_name: web",
        "",
        "container_name: a sandbox has the name of its file (name the file web.yaml)",
    ),
    Row("pull_policy: if_not_present", "pull_policy: missing"),
    Row(
        "logging: {driver: json-file, options: {max-size: 10m}}",
        "",
        "logging.options: the engine's log is always short (`reconciler logs` has all of it)",
    ),
    Row(
        "logging: {driver: syslog}",
        REFUSED,
        "'logging.driver' is not supported (it is always bounded; read it with `reconciler logs`)",
    ),
    Row("healthcheck: {test: a, start_interval: 2s}", "healthcheck: {test: [CMD-SHELL, a], start_interval: 2}"),
    # restarts
    Row(
        "restart: unless-stopped",
        "restart: always",
        "restart: 'unless-stopped' is `always` here (stopped by hand, it starts again; say `state: stopped` instead)",
    ),
    Row(
        "restart: on-failure:3",
        "restart: on-failure",
        "restart: it is tried more often than 3 times "
        "(after pauses that grow from 1 s to 5 minutes; nothing is given up)",
    ),
    Row("deploy: {restart_policy: {condition: any}}", "restart: always"),
    Row("deploy: {restart_policy: {condition: on-failure}}", "restart: on-failure"),
    Row("deploy: {restart_policy: {condition: none}}", "restart: no"),
    Row("deploy: {restart_policy: {max_attempts: 3}}", "", f"deploy.restart_policy.max_attempts: {BACKOFF}"),
    # limits
    Row("deploy: {resources: {limits: {memory: 64M}}}", "mem_limit: 64m"),
    Row("deploy: {resources: {limits: {cpus: '0.5', pids: 20}}}", "cpus: 0.5\npids_limit: 20"),
    Row(
        "mem_limit: 64m\ndeploy: {resources: {limits: {memory: 32m}}}",
        REFUSED,
        "'deploy.resources.limits.memory' says what `mem_limit` says too (keep one of them)",
    ),
    Row(
        "deploy: {resources: {limits: {cpus: 0}}}",
        REFUSED,
        "cpus: 0 is out of range (0.05 to 100000; 0 is not unlimited)",
    ),
    Row(
        "deploy: {resources: {reservations: {memory: 1m}}}", "", f"deploy.resources.reservations.memory: {NOT_RESERVED}"
    ),
    Row(
        "deploy: {resources: {reservations: {devices: [{count: 1}]}}}",
        REFUSED,
        "'deploy.resources.reservations.devices' is forbidden: a sandbox has no devices of the host (leave it out)",
    ),
    Row("deploy: {mode: global}", "", f"deploy.mode: {SWARM}"),
    Row("deploy: {replicas: 2}", REFUSED, "'deploy.replicas' is not supported (one file is one sandbox: copy it)"),
    Row("deploy: {replica: 2}", REFUSED, "unknown key 'deploy.replica' (leave it out)"),
    Row("mem_reservation: 1m", "", f"mem_reservation: {NOT_RESERVED}"),
    Row("memswap_limit: 1g", "", f"memswap_limit: {HAS_NO_SWAP}"),
    Row("mem_limit: 64", REFUSED, "mem_limit: 64 is so many bytes, which is too little (did you mean 64m?)"),
    Row("shm_size: 1g", REFUSED, "'shm_size' is not supported (it is always 64m)"),
    # ports
    Row("ports: ['80/tcp', '127.0.0.1::81']", "ports: [80, 81]"),
    Row("ports: ['127.0.0.1:3000:3000/tcp']", "ports: [{target: 3000, published: 3000}]"),
    Row(
        "ports: ['8080:80']",
        "ports: [{target: 80, published: 8080}]",
        "ports[0]: it is published on 127.0.0.1, not on all addresses (write 127.0.0.1:8080:80)",
    ),
    Row("ports: ['80:8080']", REFUSED, "ports[0]: port 80 of the host is below 1024 (write 127.0.0.1:8080:8080)"),
    Row(
        "ports: ['127.0.0.1:443:8443']",
        REFUSED,
        "ports[0]: port 443 of the host is below 1024 (write 127.0.0.1:8443:8443)",
    ),
    Row(
        "ports: ['0.0.0.0:6379:6379']",
        REFUSED,
        "ports[0]: ports are published on 127.0.0.1 only, not on 0.0.0.0 (write 127.0.0.1:6379:6379)",
    ),
    Row(
        "ports: ['[::]:6379:6379/tcp']",
        REFUSED,
        "ports[0]: ports are published on 127.0.0.1 only, not on [::] (write 127.0.0.1:6379:6379)",
    ),
    Row(
        "ports: ['3000-3005:4000-4005']",
        REFUSED,
        "ports[0]: '3000-3005:4000-4005' is a range (write each port, the first as 127.0.0.1:3000:4000)",
    ),
    Row(
        "ports: [3000-3005]",
        REFUSED,
        "ports[0]: '3000-3005' is a range (write each port, the first as 3000)",
    ),
    Row("ports: ['1053:53/udp']", REFUSED, "ports[0]: only tcp is published (leave '1053:53/udp' out)"),
    Row(
        "ports: [{name: web, target: 80, published: '8080', host_ip: 127.0.0.1, protocol: tcp, mode: ingress}]",
        "ports: [{target: 80, published: 8080}]",
    ),
    Row(
        "ports: [{target: 80, published: 80}]",
        REFUSED,
        "ports[0].published: port 80 of the host is below 1024 (write 8080)",
    ),
    Row(
        "ports: [{target: 80, host_ip: 0.0.0.0}]",
        REFUSED,
        "ports[0].host_ip: ports are published on 127.0.0.1 only, not on 0.0.0.0 (write 127.0.0.1)",
    ),
    Row(
        "ports: [{target: 53, protocol: udp}]",
        REFUSED,
        "ports[0].protocol: only tcp is published (leave this port out)",
    ),
    Row(
        "expose: [80]",
        "",
        "expose: 80 is open to nobody, sandboxes do not see one another (say `ports` for this host)",
    ),
    # volumes
    Row("volumes: ['/srv/x:/y:ro']", "volumes: [{source: /srv/x, target: /y}]"),
    Row("volumes: ['/srv/x:/y:rw']", "volumes: [{source: /srv/x, target: /y, read_only: false}]"),
    Row(
        "volumes: ['/srv/x:/y']",
        "volumes: [{source: /srv/x, target: /y, read_only: false}]",
        "volumes[0]: without a mode it can be written, as in Compose (write /srv/x:/y:ro where it is only read)",
    ),
    Row(
        "volumes: ['/srv/x:/y:ro,Z']",
        "volumes: [{source: /srv/x, target: /y}]",
        f"volumes[0]: {NOT_RELABELLED} (write /srv/x:/y:ro)",
    ),
    Row(
        "volumes: ['/srv/x:/y:z']",
        "volumes: [{source: /srv/x, target: /y, read_only: false}]",
        f"volumes[0]: {NOT_RELABELLED} (write /srv/x:/y:rw)",
    ),
    Row(
        "volumes: [{type: bind, source: /srv/x, target: /y, bind: {create_host_path: true}}]",
        "volumes: [{source: /srv/x, target: /y}]",
        "volumes[0].bind.create_host_path: a source that is missing is not made (make it before)",
    ),
    Row(
        "volumes: ['data:/var/lib/app:ro']",
        REFUSED,
        "volumes[0]: 'data' is a named volume, and volumes are paths of the host "
        "(write such as /srv/data:/var/lib/app:ro)",
    ),
    Row(
        "volumes: ['./conf/app.ini:/etc/app.ini']",
        REFUSED,
        "volumes[0]: the path on the host must begin with '/' (write such as /srv/conf/app.ini:/etc/app.ini)",
    ),
    Row(
        "volumes: [/data]",
        REFUSED,
        "volumes[0]: without a source it would be lost with its container "
        "(write `tmpfs: [/data]`, or a path of the host: /srv/data:/data)",
    ),
    Row("tmpfs: '/run:rw,noexec,nosuid,size=64m'", "tmpfs: '/run:size=64m'"),
    # networks and other services
    Row(
        "network_mode: bridge",
        "",
        "network_mode: 'bridge' is the isolated bridge of all sandboxes (leave it out)",
    ),
    Row(
        "network_mode: service:vpn",
        REFUSED,
        "network_mode: 'service:vpn' is forbidden: it would share another container's network "
        "(leave it out, or say `none`)",
    ),
    Row("networks: [default]", "", "networks[0]: 'default' is the isolated bridge of all sandboxes (leave it out)"),
    Row("networks: [front]", REFUSED, f"'networks[0]' is forbidden: {BRIDGE} (leave it out)"),
    Row("networks: {front: null}", REFUSED, f"'networks' is forbidden: {BRIDGE} (leave it out)"),
    Row(
        "depends_on: [db, cache]",
        REFUSED,
        "'depends_on' is not supported: sandboxes start in no order (let it retry until db, cache answers)",
    ),
    Row(
        "depends_on: {db: {condition: service_healthy}}",
        REFUSED,
        "'depends_on' is not supported: sandboxes start in no order (let it retry until db answers)",
    ),
    # what comes from elsewhere
    Row("build: ./app", REFUSED, "'build' is not supported (build './app' elsewhere, and say `image`)"),
    Row("build: {context: .}", REFUSED, "'build' is not supported (an image is built elsewhere: say `image`)"),
    Row(
        "env_file: .env",
        REFUSED,
        "'env_file' is not supported: no other file is read (write what '.env' says under `environment`)",
    ),
    Row(
        "secrets: [db_password]",
        REFUSED,
        "'secrets[0]' is forbidden: files of the host come in through `volumes` only "
        "(mount it: /srv/db_password:/run/secrets/db_password:ro)",
    ),
    # who it is, and what it may
    Row("user: '1000'", REFUSED, "user: '1000' leaves the group to the image (write 1000:1000)"),
    Row("user: 1234", REFUSED, "user: '1234' leaves the group to the image (write 1234:1234)"),
    Row("user: '0'", REFUSED, "user: '0' leaves the group to the image (write 1000:1000)"),
    Row(
        "user: node",
        REFUSED,
        "user: 'node' is not a numeric uid:gid: an image can give any name to root "
        "(write both as numbers, such as 1000:1000)",
    ),
    Row(
        "hostname: mail.example.com",
        REFUSED,
        "hostname: 'mail.example.com' has dots: neighbours could look it up and find this sandbox (write mail)",
    ),
    Row("stop_signal: SIGNAL", REFUSED, "stop_signal: 'SIGNAL' is not a signal (write such as SIGINT, or 1 to 64)"),
    Row("privileged: true", REFUSED, "'privileged' is forbidden: it would be root on the host (leave it out)"),
    Row("init: false", REFUSED, "'init' is not supported (it is always on)"),
    Row("tty: true", REFUSED, "'tty' is not supported (a sandbox has no terminal)"),
    Row("cap_add: [NET_ADMIN]", REFUSED, "'cap_add' is forbidden: a sandbox has no capabilities (leave it out)"),
    Row(
        "security_opt: ['no-new-privileges:true', 'seccomp:unconfined']",
        REFUSED,
        "'security_opt[1]' is forbidden: it can turn the isolation off (leave it out)",
    ),
    Row("init: [true]", REFUSED, "'init' is not supported (it is always on)"),
]


def read(tmp_path: Path, text: str) -> tuple[Sandbox | None, list[str]]:
    """The sandbox of a file with this text, and the notes; or None and the problems."""
    file = tmp_path / "pasted.yaml"
    file.write_text(f"image: busybox\n{text}\n")
    outcome = read_file(file)
    if isinstance(outcome, Declaration):
        return outcome.sandbox, told(outcome.notes)
    return None, told(outcome)


def told(problems: tuple[Problem, ...]) -> list[str]:
    return [f"{one.message} ({one.hint})" for one in problems]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.written)
def test_row(row: Row, tmp_path: Path) -> None:
    """What is written means the same as what stands beside it, or is refused, and is told in these words."""
    sandbox, said = read(tmp_path, row.written)
    meaning = None if row.meaning is REFUSED else read(tmp_path, row.meaning)[0]
    assert (sandbox, said) == (meaning, [row.told] if row.told else [])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.written)
def test_row_of_a_policy(row: Row, tmp_path: Path) -> None:
    """It means the same in the policy's defaults, and is told in the same words, at its own line."""
    file = tmp_path / "policy.yaml"
    file.write_text(f"uid_min: 1000\ndefaults:\n  image: busybox\n{indent(row.written, '  ')}\n")
    try:
        found, said = read_policy(file).defaults, policy_notes(file)
    except PolicyInvalid as error:
        found, said = None, error.problems
    assert found == read(tmp_path, row.written)[0]
    assert [line.replace("defaults.", "") for line in told(said)] == ([row.told] if row.told else [])
    assert all(one.line >= 4 for one in said)


SCHEMA, POLICY_SCHEMA = (Draft202012Validator(json_schema(model)) for model in (Sandbox, Policy))
BEYOND = {"mem_limit: 64m\ndeploy: {resources: {limits: {memory: 32m}}}"}
"""What a schema accepts all the same: it knows no two keys that are said in one."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.written)
def test_editors_say_the_same(row: Row) -> None:
    """The JSON Schemas accept what is accepted, and refuse what is refused."""
    value = read_document(f"image: busybox\n{row.written}\n".encode(), "pasted.yaml").value
    assert SCHEMA.is_valid(value) == (row.meaning is not REFUSED or row.written in BEYOND)
    assert POLICY_SCHEMA.is_valid({"defaults": value}) == SCHEMA.is_valid(value)


@pytest.mark.parametrize("key", sorted(key for key in KEYS if key not in Sandbox.model_fields and key.isidentifier()))
def test_every_other_key_of_compose_is_known(key: str, tmp_path: Path) -> None:
    """It has no effect, or is refused in words of its own: a sandbox with it is the same without it, or is none."""
    sandbox, said = read(tmp_path, f"{key}: another")
    assert sandbox in (None, read(tmp_path, "")[0])
    assert "unknown" not in "".join(said)
    assert (sandbox is None) == (KEYS[key][-1].handling is Handling.REFUSE)


@pytest.mark.parametrize("key", ["deploy.mode", "ports[0]", "x"])
def test_a_key_that_looks_like_a_name_of_the_table_is_none(key: str, tmp_path: Path) -> None:
    """Only what stands below `deploy` is a key of it."""
    sandbox, said = read(tmp_path, f"{key}: 80/tcp")
    assert sandbox is None
    assert said[0].startswith(f"unknown key '{key}'")
