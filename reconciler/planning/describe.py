"""The knobs of a container in the words of the file, for people."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from reconciler.model.container import BindMount, ContainerSpec, HealthcheckSpec, Logging, PublishedPort, TmpfsMount
from reconciler.model.labels import PREFIX
from reconciler.spec.text import printable
from reconciler.spec.units import duration_text, size_text

NOTHING = "nothing"
"""Stands for what is not set."""

HIDDEN = "(hidden)"
"""Stands for every value of `environment`."""

TEXT_MAX = 200

KNOBS = tuple(one.name for one in fields(ContainerSpec))


def _words(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _tmpfs(mounts: tuple[TmpfsMount, ...]) -> str:
    """`/run:size=8m`; what every tmpfs has is left out."""
    usual = TmpfsMount("", 0).options
    return ", ".join(
        f"{mount.target}:"
        + ",".join([*(one for one in mount.options if one not in usual), f"size={size_text(mount.size)}"])
        + "".join(f",no {one}" for one in usual if one not in mount.options)
        for mount in mounts
    )


def _volumes(mounts: tuple[BindMount, ...]) -> str:
    """`/srv/data on /data, read-only`."""
    return "; ".join(f"{mount.source} on {mount.target}{', read-only' if mount.read_only else ''}" for mount in mounts)


def _healthcheck(check: HealthcheckSpec) -> str:
    times = ("interval", "timeout", "start_period", "start_interval")
    said = [f"{key} {duration_text(value)}" for key in times if (value := getattr(check, key))]
    retries = [f"retries {check.retries}"] if check.retries else []
    return ", ".join([f"test {_words(check.test)}", *said, *retries])


def ports_text(ports: tuple[PublishedPort, ...]) -> str:
    """`3000/tcp on 127.0.0.1:61000`; a port that will be drawn is `(random)`, one that is open to the world has `*`."""
    return ", ".join(
        f"{port.target}/{port.protocol} on {port.host_ip or '*'}:{port.published or '(random)'}" for port in ports
    )


def _logging(log: Logging) -> str:
    return ", ".join([log.driver, *(f"{key} {value}" for key, value in log.options)])


WORDS: Mapping[str, Callable[[Any], str]] = {
    "mem_limit": size_text,
    "memswap_limit": size_text,
    "shm_size": size_text,
    "cpus": "{:g}".format,
    "tmpfs": _tmpfs,
    "volumes": _volumes,
    "ports": ports_text,
    "healthcheck": _healthcheck,
    "logging": _logging,
    "stop_grace_period": duration_text,
}
"""How the values of some knobs are said; others as they are."""


def said(knob: str, value: object) -> str:
    """The value of a knob as a text that is fit to be shown; two different values never have the same."""
    if value is None or value in ("", ()):
        return NOTHING
    text = WORDS.get(knob, _plain)
    return _short(text(value) if value else _plain(value))


def configuration(spec: ContainerSpec) -> dict[str, str]:
    """What a container is made from, by knob; of `environment` only the names, of labels not reconciler's own."""
    return dict(_configuration(spec))


def _configuration(spec: ContainerSpec) -> Iterator[tuple[str, str]]:
    for knob in KNOBS:
        value = getattr(spec, knob)
        if knob == "environment":
            yield from ((f"environment.{key}", HIDDEN) for key in sorted(value))
        elif knob == "labels":
            yield from ((f"labels.{key}", said("", one)) for key, one in value.items() if not key.startswith(PREFIX))
        elif (text := said(knob, value)) != NOTHING:
            yield knob, text


def _plain(value: object) -> str:
    return value if isinstance(value, str) else _words(value)


def _short(text: str) -> str:
    if len(text) <= TEXT_MAX:
        return printable(text)
    digest = hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:8]
    return f"{printable(text[:TEXT_MAX])}… ({len(text)} characters, {digest})"
