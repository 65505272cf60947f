"""What becomes of the keys of a Compose service: one table, for files that are pasted as for those that are imported.

A value that is in no row is kept, and the model of a sandbox judges it.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

ANY = ".*"


class Handling(StrEnum):
    """What becomes of a value. What is dropped is so anyway, or a note tells what is lost."""

    KEEP = "keep"
    TRANSLATE = "translate"
    DROP = "drop"
    REFUSE = "refuse"


class Spelling(NamedTuple):
    """A row: one way to write the values of some keys. `ports[]` is each item of a list, `x-*` a key that begins so.

    `pattern` is a regular expression of the whole value as text; only `ANY` is also one of lists and mappings. In the
    texts, `{key}` stands for the full name of the key, `{value}` for the value, of which only the items or keys are
    shown, and another name for the pattern's group. Without a message, a sandbox does the same.
    """

    keys: str
    handling: Handling
    pattern: str = ANY
    message: str = ""
    hint: str = ""
    said: Any = None
    """What a sandbox says instead; None is the same value."""
    to: str = ""
    """The key that says it there, when it is another one."""


Table = Mapping[str, Sequence[Spelling]]
"""By key, the ways to write its value; the first one that matches counts."""

KEPT = Spelling("", Handling.KEEP)


def noted(keys: str, pattern: str, message: str, hint: str = "", said: Any = None, to: str = "") -> Spelling:
    """What means less here, or something else; it is dropped where nothing is said instead."""
    handling = Handling.DROP if said is None and not to else Handling.TRANSLATE
    return Spelling(keys, handling, pattern, message, hint, said, to)


def same(keys: str, pattern: str = ANY, said: Any = None, to: str = "") -> Spelling:
    """What is so anyway, or is said in other words."""
    return noted(keys, pattern, "", said=said, to=to)


def refused(keys: str, pattern: str, message: str, hint: str) -> Spelling:
    """What a sandbox must not or cannot have."""
    return Spelling(keys, Handling.REFUSE, pattern, message, hint)


def forbidden(keys: str, why: str) -> Spelling:
    """What no policy can ever allow."""
    return refused(keys, ANY, f"'{{key}}' is forbidden: {why}", "leave it out")


def unsupported(keys: str, instead: str) -> Spelling:
    """What is said otherwise, or cannot be said."""
    return refused(keys, ANY, "'{key}' is not supported", instead)


PORT = r"(?P<published>\d{4,5}):(?P<target>\d{1,5})(?:/tcp)?"
PUBLISHED = {"target": "{target}", "published": "{published}"}
MOUNT = "(?P<source>/[^:]*):(?P<target>/[^:]*)"
READ_ONLY, WRITABLE = ({"source": "{source}", "target": "{target}", "read_only": one} for one in (True, False))
FILES = "files of the host come in through `volumes` only"
BRIDGE = "the isolated bridge of all sandboxes"

# fmt: off
TABLE: Sequence[Spelling] = (
    # what it is
    unsupported("name", "it is derived from the file name"),
    noted("container_name", ANY, "{key}: a sandbox has the name of its file", "name the file {value}.yaml"),
    same("version x-* attach"),
    same("pull_policy", "if_not_present", said="missing"),
    refused("build", "[./~].*", "'{key}' is not supported", "build '{value}' elsewhere, and say `image`"),
    unsupported("build develop", "an image is built elsewhere: say `image`"),
    unsupported("platform", "the engine's own platform is used"),
    forbidden("runtime", "only the policy chooses it"),
    same("isolation", "default"),
    forbidden("isolation", "the policy says how sandboxes are isolated"),
    unsupported("provider", "a sandbox is a container"),
    unsupported("extends", "put what all have in common into the policy's `defaults`"),
    refused("env_file", ANY, "'{key}' is not supported: no other file is read",
            "write what '{value}' says under `environment`"),
    unsupported("label_file", "say `labels`: no other file is read"),
    unsupported("pull_refresh_after", "say `pull_policy`"),

    # when it runs
    noted("restart", "unless-stopped", "{key}: 'unless-stopped' is `always` here",
          "stopped by hand, it starts again; say `state: stopped` instead", said="always"),
    noted("restart", r"on-failure:(?P<times>\d+)", "{key}: it is tried more often than {times} times",
          "after pauses that grow from 1 s to 5 minutes; nothing is given up", said="on-failure"),
    same("deploy.restart_policy.condition", "any", said="always", to="restart"),
    same("deploy.restart_policy.condition", "on-failure", to="restart"),
    same("deploy.restart_policy.condition", "none", said="no", to="restart"),
    noted("deploy.restart_policy.delay deploy.restart_policy.max_attempts deploy.restart_policy.window", ANY,
          "{key}: it is tried after pauses that grow", "from 1 s to 5 minutes; nothing is given up"),
    refused("depends_on", ANY, "'{key}' is not supported: sandboxes start in no order",
            "let it retry until {value} answers"),
    same("scale deploy.replicas", "1"),
    unsupported("scale deploy.replicas", "one file is one sandbox: copy it"),
    unsupported("profiles", "say `state: stopped` for what should not run"),
    unsupported("post_start pre_stop", "a sandbox runs one command"),
    same("init", "true"),
    unsupported("init", "it is always on"),
    same("tty stdin_open", "false"),
    unsupported("tty stdin_open", "a sandbox has no terminal"),
    same("logging.driver", "json-file|local"),
    noted("logging.options", ANY, "{key}: the engine's log is always short", "`reconciler logs` has all of it"),
    unsupported("logging logging.driver", "it is always bounded; read it with `reconciler logs`"),
    noted("deploy.endpoint_mode deploy.labels deploy.mode deploy.placement deploy.rollback_config deploy.update_config",
          ANY, "{key}: only a Swarm heeds it", "leave it out"),
    unsupported("deploy", "say `mem_limit`, `cpus` and `pids_limit`"),

    # how much it may use
    refused("mem_limit deploy.resources.limits.memory", r"[1-9]\d{0,3}",
            "{key}: {value} is so many bytes, which is too little", "did you mean {value}m?"),
    same("deploy.resources.limits.memory", to="mem_limit"),
    same("deploy.resources.limits.cpus", to="cpus"),
    same("deploy.resources.limits.pids", to="pids_limit"),
    noted("mem_reservation deploy.resources.reservations.cpus deploy.resources.reservations.memory", ANY,
          "{key}: nothing is reserved for a sandbox", "`mem_limit` and `cpus` are its limits"),
    noted("memswap_limit mem_swappiness", ANY, "{key}: there is no swap", "`mem_limit` is all the memory there is"),
    same("shm_size", "64[mM](?:[iI]?[bB])?"),
    unsupported("shm_size", "it is always 64m"),
    unsupported("cpu_count cpu_percent cpu_period cpu_quota cpu_shares cpuset", "say `cpus`"),
    forbidden("cpu_rt_period cpu_rt_runtime", "real-time scheduling can take a CPU away from the host"),
    forbidden("blkio_config", "it can slow down the host's disks"),
    forbidden("cgroup_parent", "it could escape the limits"),
    forbidden("ulimits", "they can exceed what the host allows"),
    same("oom_kill_disable", "false"),
    same("oom_score_adj", "0"),
    forbidden("oom_kill_disable", "a sandbox without memory would hang and keep it"),
    forbidden("oom_score_adj", "the kernel would end the host's own processes first"),
    forbidden("storage_opt", "only the host's owner configures storage"),

    # ports
    same("ports[]", r"(?:127\.0\.0\.1::|(?=\d+/))(?P<target>\d{1,5})(?:/tcp)?", said={"target": "{target}"}),
    same("ports[]", rf"127\.0\.0\.1:{PORT}", said=PUBLISHED),
    noted("ports[]", PORT, "{key}: it is published on 127.0.0.1, not on all addresses",
          "write 127.0.0.1:{published}:{target}", said=PUBLISHED),
    refused("ports[]", r"(?:[^:]+:)?(?P<published>[1-9]\d{0,2}):(?P<target>\d+)(?:/tcp)?",
            "{key}: port {published} of the host is below 1024", "write 127.0.0.1:8{published:0>3}:{target}"),
    refused("ports[].published", r"[1-9]\d{0,2}", "{key}: port {value} of the host is below 1024",
            "write 8{value:0>3}"),
    refused("ports[]", r"(?:[^:]+:)?(?P<published>\d+)-\d+:(?P<target>\d+)(?:-\d+)?(?:/tcp)?",
            "{key}: '{value}' is a range", "write each port, the first as 127.0.0.1:{published}:{target}"),
    refused("ports[] ports[].published", r"(?P<first>\d+)-\d+(?:/tcp)?", "{key}: '{value}' is a range",
            "write each port, the first as {first}"),
    refused("ports[]", r"(?P<address>\[.*\]|[^\[:]+):(?P<published>\d*):(?P<target>\d+)(?:/tcp)?",
            "{key}: ports are published on 127.0.0.1 only, not on {address}", "write 127.0.0.1:{published}:{target}"),
    refused("ports[]", ".*/(?:udp|sctp)", "{key}: only tcp is published", "leave '{value}' out"),
    same("ports[].host_ip", r"127\.0\.0\.1"),
    refused("ports[].host_ip", ANY, "{key}: ports are published on 127.0.0.1 only, not on {value}", "write 127.0.0.1"),
    same("ports[].protocol", "tcp"),
    refused("ports[].protocol", ANY, "{key}: only tcp is published", "leave this port out"),
    same("ports[].app_protocol ports[].mode ports[].name"),
    noted("expose", ANY, "{key}: {value} is open to nobody, sandboxes do not see one another",
          "say `ports` for this host"),

    # networks
    noted("network_mode", "bridge|default", f"{{key}}: '{{value}}' is {BRIDGE}", "leave it out"),
    refused("network_mode", "host", "{key}: 'host' is forbidden: it would share the host's network",
            "leave it out, or say `none`"),
    refused("network_mode", "(?:container|service):.*",
            "{key}: '{value}' is forbidden: it would share another container's network", "leave it out, or say `none`"),
    noted("networks[]", "default", f"{{key}}: '{{value}}' is {BRIDGE}", "leave it out"),
    forbidden("networks networks[]", "a sandbox is on the isolated bridge, or on none with `network_mode: none`"),
    forbidden("links external_links volumes_from", "sandboxes do not see one another"),
    forbidden("dns dns_opt dns_search domainname extra_hosts", "a sandbox resolves names as the engine does"),
    forbidden("mac_address", "a sandbox cannot choose its address on the network"),

    # volumes
    same("volumes[]", f"{MOUNT}:ro", said=READ_ONLY),
    same("volumes[]", f"{MOUNT}:rw", said=WRITABLE),
    noted("volumes[]", MOUNT, "{key}: without a mode it can be written, as in Compose",
          "write {source}:{target}:ro where it is only read", said=WRITABLE),
    noted("volumes[]", f"{MOUNT}:(?:ro,[zZ]|[zZ],ro)", "{key}: nothing is relabelled for SELinux",
          "write {source}:{target}:ro", said=READ_ONLY),
    noted("volumes[]", f"{MOUNT}:(?:rw,)?[zZ]", "{key}: nothing is relabelled for SELinux",
          "write {source}:{target}:rw", said=WRITABLE),
    refused("volumes[]", r"(?P<name>\w[\w.-]*):(?P<rest>/.*)",
            "{key}: '{name}' is a named volume, and volumes are paths of the host", "write such as /srv/{name}:{rest}"),
    refused("volumes[]", r"[.~]{1,2}(?P<path>/[^:]*|):(?P<rest>/.*)",
            "{key}: the path on the host must begin with '/'", "write such as /srv{path}:{rest}"),
    refused("volumes[]", "(?P<target>/[^:]*)", "{key}: without a source it would be lost with its container",
            "write `tmpfs: [{target}]`, or a path of the host: /srv/data:{target}"),
    refused("volumes[].type", "volume", "{key}: volumes are paths of the host", "write `type: bind`, with such a path"),
    refused("volumes[].type", "tmpfs", "{key}: a tmpfs has a key of its own", "write it under `tmpfs`"),
    same("volumes[].bind.create_host_path", "false"),
    noted("volumes[].bind.create_host_path", "true", "{key}: a source that is missing is not made", "make it before"),
    same("volumes[].bind.propagation", "rprivate"),
    forbidden("volumes[].bind.propagation", "what the host mounts later would appear in the sandbox"),
    refused("secrets[]", r"[\w.-]+", f"'{{key}}' is forbidden: {FILES}",
            "mount it: /srv/{value}:/run/secrets/{value}:ro"),
    forbidden("configs models secrets secrets[]", FILES),

    # what it may do
    refused("user", r"[1-9]\d{3,9}", "{key}: '{value}' leaves the group to the image", "write {value}:{value}"),
    refused("user", r"\d{1,3}", "{key}: '{value}' leaves the group to the image", "write 1000:1000"),
    refused("user", r".*[^\W\d_].*", "{key}: '{value}' is not a numeric uid:gid: an image can give any name to root",
            "write both as numbers, such as 1000:1000"),
    forbidden("group_add", "a sandbox has one group, that of `user`"),
    same("privileged", "false"),
    forbidden("privileged", "it would be root on the host"),
    same("cap_drop"),
    forbidden("cap_add", "a sandbox has no capabilities"),
    same("security_opt[]", "no-new-privileges(?:[:=]true)?"),
    forbidden("security_opt security_opt[]", "it can turn the isolation off"),
    forbidden("devices device_cgroup_rules gpus deploy.resources.reservations.devices",
              "a sandbox has no devices of the host"),
    forbidden("credential_spec", "a sandbox has no credentials of the host"),
    forbidden("use_api_socket", "whoever has the engine's socket is root on the host"),
    forbidden("sysctls", "they change the kernel"),
    forbidden("annotations", "they can change how the runtime isolates the container"),
    same("cgroup ipc", "private"),
    forbidden("cgroup", "a sandbox sees only its own control group"),
    forbidden("ipc", "a sandbox shares no memory with others"),
    forbidden("pid", "a sandbox sees only its own processes"),
    forbidden("userns_mode", "a sandbox cannot leave its user namespace"),
    forbidden("uts", "a sandbox has a host name of its own"),
)
# fmt: on

_KEYS: defaultdict[str, list[Spelling]] = defaultdict(list)
for _row in TABLE:
    for _key in _row.keys.split():
        _KEYS[_key].append(_row)
KEYS: Table = dict(_KEYS)
