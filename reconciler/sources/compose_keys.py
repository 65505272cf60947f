"""What becomes of the keys of a Compose service: one table, for files that are pasted as for those that are imported.

A value that is in no row is kept, and the model of a sandbox judges it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Handling(StrEnum):
    """What becomes of a value."""

    KEEP = "keep"
    """A sandbox says it in the same words."""
    TRANSLATE = "translate"
    """A sandbox says it in other words, or under another key."""
    DROP = "drop"
    """It is so anyway, or a note tells what is lost."""
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Spelling:
    """One way to write a value. `pattern` is one of the whole value as text: `64m`, `true`; of a list its items, of a
    mapping its keys, with a comma and a space between.

    In `message`, `hint` and `said`, `{key}` stands for the full name of the key, `{value}` for that text, and any other
    name in braces for the group of the pattern that has this name. Without a message, the meaning is the same.
    """

    handling: Handling
    pattern: re.Pattern[str]
    message: str = ""
    hint: str = ""
    said: Any = None
    """What a sandbox's file says instead; None is the same value."""
    to: str = ""
    """The key that says it there, when it is another one."""


ANY = ".*"
KEPT = Spelling(Handling.KEEP, re.compile(ANY, re.DOTALL))
"""What is in no row."""


def same(pattern: str = ANY, said: Any = None, to: str = "") -> Spelling:
    """What needs no word: it is so anyway, or is said in other words."""
    return noted(pattern, "", said=said, to=to)


def noted(pattern: str, message: str, hint: str = "", said: Any = None, to: str = "") -> Spelling:
    """What means less here, or something else: it is dropped where nothing is said instead."""
    handling = Handling.DROP if said is None and not to else Handling.TRANSLATE
    return Spelling(handling, re.compile(pattern, re.DOTALL), message, hint, said, to)


def refused(pattern: str, message: str, hint: str) -> Spelling:
    """What a sandbox must not or cannot have."""
    return Spelling(Handling.REFUSE, re.compile(pattern, re.DOTALL), message, hint)


def forbidden(why: str) -> Spelling:
    """What no policy can ever allow."""
    return refused(ANY, f"'{{key}}' is forbidden: {why}", "leave it out")


def unsupported(instead: str) -> Spelling:
    """What is said otherwise, or cannot be said."""
    return refused(ANY, "'{key}' is not supported", instead)


NO_CREDENTIALS = forbidden("a sandbox has no credentials of the host")
NO_DEVICES = forbidden("a sandbox has no devices of the host")
NO_FILES = forbidden("files of the host come in through `volumes` only")
NO_NEIGHBOURS = forbidden("sandboxes do not see one another")
NO_REAL_TIME = forbidden("real-time scheduling can take a CPU away from the host")
NO_RESOLVER = forbidden("a sandbox resolves names as the engine does")
NO_SWAP = unsupported("there is no swap")
SAY_CPUS = unsupported("say `cpus`")
ONE_COMMAND = unsupported("a sandbox runs one command")

KEYS: Mapping[str, Sequence[Spelling]] = {
    "annotations": [forbidden("they can change how the runtime isolates the container")],
    "attach": [unsupported("the output is in `reconciler logs`")],
    "blkio_config": [forbidden("it can slow down the host's disks")],
    "build": [unsupported("an image is built elsewhere: say `image`")],
    "cap_add": [forbidden("a sandbox has no capabilities")],
    "cap_drop": [same()],
    "cgroup": [forbidden("a sandbox sees only its own control group")],
    "cgroup_parent": [forbidden("it could escape the limits")],
    "configs": [NO_FILES],
    "container_name": [unsupported("it is derived from the file name")],
    "cpu_count": [SAY_CPUS],
    "cpu_percent": [SAY_CPUS],
    "cpu_period": [SAY_CPUS],
    "cpu_quota": [SAY_CPUS],
    "cpu_rt_period": [NO_REAL_TIME],
    "cpu_rt_runtime": [NO_REAL_TIME],
    "cpu_shares": [SAY_CPUS],
    "cpuset": [SAY_CPUS],
    "credential_spec": [NO_CREDENTIALS],
    "depends_on": [unsupported("sandboxes do not depend on one another")],
    "deploy": [unsupported("say `mem_limit`, `cpus` and `pids_limit`")],
    "develop": [unsupported("an image is built elsewhere")],
    "device_cgroup_rules": [NO_DEVICES],
    "devices": [NO_DEVICES],
    "dns": [NO_RESOLVER],
    "dns_opt": [NO_RESOLVER],
    "dns_search": [NO_RESOLVER],
    "domainname": [NO_RESOLVER],
    "env_file": [unsupported("say `environment`: no other file is read")],
    "expose": [unsupported("say `ports`")],
    "extends": [unsupported("put what all have in common into the policy's `defaults`")],
    "external_links": [NO_NEIGHBOURS],
    "extra_hosts": [NO_RESOLVER],
    "gpus": [NO_DEVICES],
    "group_add": [forbidden("a sandbox has one group, that of `user`")],
    "hostname": [unsupported("the engine chooses one")],
    "init": [same("true"), unsupported("it is always on")],
    "ipc": [forbidden("a sandbox shares no memory with others")],
    "isolation": [forbidden("the policy says how sandboxes are isolated")],
    "label_file": [unsupported("say `labels`: no other file is read")],
    "links": [NO_NEIGHBOURS],
    "logging": [unsupported("it is always bounded; read it with `reconciler logs`")],
    "mac_address": [forbidden("a sandbox cannot choose its address on the network")],
    "mem_reservation": [unsupported("say `mem_limit`")],
    "mem_swappiness": [NO_SWAP],
    "memswap_limit": [NO_SWAP],
    "models": [NO_FILES],
    "name": [unsupported("it is derived from the file name")],
    "networks": [forbidden("a sandbox is on the isolated bridge, or on none with `network_mode: none`")],
    "oom_kill_disable": [forbidden("a sandbox without memory would hang and keep it")],
    "oom_score_adj": [forbidden("the kernel would end the host's own processes first")],
    "pid": [forbidden("a sandbox sees only its own processes")],
    "platform": [unsupported("the engine's own platform is used")],
    "post_start": [ONE_COMMAND],
    "pre_stop": [ONE_COMMAND],
    "privileged": [same("false"), forbidden("it would be root on the host")],
    "profiles": [unsupported("say `state: stopped` for what should not run")],
    "provider": [unsupported("a sandbox is a container")],
    "pull_refresh_after": [unsupported("say `pull_policy`")],
    "restart": [
        noted(
            "unless-stopped",
            "{key}: 'unless-stopped' is `always` here",
            "what is stopped by hand starts again; `state: stopped` stops it for good",
            said="always",
        ),
    ],
    "runtime": [forbidden("only the policy chooses it")],
    "scale": [unsupported("one file is one sandbox: copy it")],
    "secrets": [NO_FILES],
    "security_opt[]": [same("no-new-privileges(?:[:=]true)?"), forbidden("it can turn the isolation off")],
    "services": [unsupported("one file holds one service: leave `services:` and its name out")],
    "shm_size": [unsupported("it is always 64m")],
    "stdin_open": [same("false"), unsupported("a sandbox has no terminal")],
    "stop_signal": [unsupported("the image says it")],
    "storage_opt": [forbidden("only the host's owner configures storage")],
    "sysctls": [forbidden("they change the kernel")],
    "tty": [same("false"), unsupported("a sandbox has no terminal")],
    "ulimits": [forbidden("they can exceed what the host allows")],
    "use_api_socket": [forbidden("whoever has the engine's socket is root on the host")],
    "userns_mode": [forbidden("a sandbox cannot leave its user namespace")],
    "uts": [forbidden("a sandbox has a host name of its own")],
    "version": [unsupported("leave it out")],
    "volumes_from": [NO_NEIGHBOURS],
    "x-*": [same()],
}
"""By key: `deploy.resources.limits.memory`; `ports[]` is each item of a list. The first row that matches counts."""
