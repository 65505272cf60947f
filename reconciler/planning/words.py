"""The knobs of a container in the words of the file, for people."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from reconciler.model.labels import PREFIX
from reconciler.model.quantities import duration_text, size_text
from reconciler.model.text import printable
from reconciler.planning.render import NANOSECONDS, TMPFS_OPTIONS

NOTHING = "nothing"
"""Stands for what is not set."""

HIDDEN = "(hidden)"
"""Stands for every value of `environment`."""

TEXT_MAX = 200


def _words(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _tmpfs(mounts: Mapping[str, str]) -> str:
    """`/run:size=8m`; what every tmpfs has is left out."""
    return ", ".join(f"{target}:{_options(options)}" for target, options in sorted(mounts.items()))


def _options(options: str) -> str:
    size = options.removeprefix(f"{TMPFS_OPTIONS},size=")
    return f"size={size_text(int(size))}" if size.isdecimal() else options


def _mounts(mounts: list[Mapping[str, Any]]) -> str:
    """`/srv/data on /data, read-only`."""
    return "; ".join(
        f"{mount.get('Source')} on {mount.get('Target')}{', read-only' if mount.get('ReadOnly') else ''}"
        for mount in mounts
    )


def _healthcheck(check: Mapping[str, Any]) -> str:
    times = {"interval": "Interval", "timeout": "Timeout", "start_period": "StartPeriod"}
    said = [f"{key} {duration_text(check[knob] / NANOSECONDS)}" for key, knob in times.items() if check.get(knob)]
    retries = [f"retries {check['Retries']}"] if check.get("Retries") else []
    return ", ".join([f"test {_words(check.get('Test'))}", *said, *retries])


def _ports(bindings: Mapping[str, list[Mapping[str, str]]]) -> str:
    """`3000/tcp on 127.0.0.1:61000`; a port that will be drawn is `(random)`, one that is open to the world has `*`."""
    return ", ".join(
        f"{port} on {binding.get('HostIp') or '*'}:{_host_port(binding)}"
        for port, bound in sorted(bindings.items())
        for binding in bound or ()
    )


def _host_port(binding: Mapping[str, str]) -> str:
    port = binding.get("HostPort") or "*"
    return "(random)" if port == "0" else port


WORDS: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "HostConfig.Memory": ("mem_limit", size_text),
    "HostConfig.NanoCpus": ("cpus", lambda value: f"{value / NANOSECONDS:g}"),
    "HostConfig.PidsLimit": ("pids_limit", str),
    "HostConfig.ReadonlyRootfs": ("read_only", lambda value: str(value).lower()),
    "HostConfig.Tmpfs": ("tmpfs", _tmpfs),
    "HostConfig.Mounts": ("volumes", _mounts),
    "HostConfig.NetworkMode": ("network_mode", str),
    "HostConfig.PortBindings": ("ports", _ports),
    "Image": ("image", str),
    "User": ("user", str),
    "Cmd": ("command", _words),
    "Entrypoint": ("entrypoint", _words),
    "WorkingDir": ("working_dir", str),
    "Healthcheck": ("healthcheck", _healthcheck),
    "StopTimeout": ("stop_grace_period", duration_text),
}
"""Knobs that have a name in YAML, and how their values are said there."""


def field(knob: str) -> str:
    """The name of a knob in YAML, or the engine's own for one that nobody can turn there."""
    return printable(WORDS[knob][0] if knob in WORDS else knob, TEXT_MAX)


def said(knob: str, value: object) -> str:
    """The value of a knob as a text that is fit to be shown; two different values never have the same."""
    text = WORDS[knob][1] if knob in WORDS else _plain
    if is_nothing(value):
        return NOTHING
    return _short(text(value) if value else _plain(value))


def configuration(body: Mapping[str, Any]) -> dict[str, str]:
    """What a container is made from, by field; of `environment` only the names, of labels not reconciler's own.

    `body` is the request that creates it.
    """
    knobs = {key: value for key, value in body.items() if key not in {"Env", "Labels", "HostConfig", "ExposedPorts"}}
    knobs |= {f"HostConfig.{key}": value for key, value in body["HostConfig"].items()}
    return {
        **{field(knob): said(knob, value) for knob, value in knobs.items() if not is_nothing(value)},
        **{f"environment.{entry.partition('=')[0]}": HIDDEN for entry in body["Env"]},
        **{f"labels.{key}": said("", value) for key, value in body["Labels"].items() if not key.startswith(PREFIX)},
    }


def is_nothing(value: object) -> bool:
    """An engine reads nothing back as null, "", [] or {}."""
    return value is None or value in ("", [], {})


def _plain(value: object) -> str:
    return value if isinstance(value, str) else _words(value)


def _short(text: str) -> str:
    if len(text) <= TEXT_MAX:
        return printable(text)
    digest = hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:8]
    return f"{printable(text[:TEXT_MAX])}… ({len(text)} characters, {digest})"
