"""What must hold at every moment of every fault: watched from outside, past whatever the test puts between."""

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.errors import PolicyInvalid
from reconciler.sources.policy_file import read_policy
from tests.engine_api import ask
from tests.floor import outside_the_floor
from tests.system.conftest import UP, Operator
from tests.system.faults.proxy import Proxy

LOOK_SECONDS = 0.05
ANSWER_SECONDS = 5.0

OF_PODMAN = {
    *("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE"),
    *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
}
"""The capabilities that Podman gives to whom it is not told otherwise."""


@dataclass
class WatchedOperator(Operator):
    """An operator who says what it does to strangers itself, so that anybody else's deeds are found."""

    strangers: dict[str, str] = field(default_factory=dict)
    """When each of them was started; empty when that is still to be seen."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def foreign(self, name: str, **config: Any) -> str:
        stranger = super().foreign(name, **config)
        with self.lock:
            self.strangers[stranger] = ""
        return stranger

    def api(self, method: str, path: str, query: Any = None, body: Any = None) -> Any:
        with self.lock:
            touched = [stranger for stranger in self.strangers if stranger in path and method != "GET"]
            for stranger in touched:
                del self.strangers[stranger]
        answer = super().api(method, path, query, body)
        if method != "DELETE":
            with self.lock:
                self.strangers.update(dict.fromkeys(touched, ""))
        return answer


class Watcher:
    """Looks again and again. Containers in `excused` may be outside of the floor: the test itself has drifted them."""

    def __init__(self, operator: WatchedOperator) -> None:
        self.excused: set[str] = set()
        self.looks = 0
        self.wrong: dict[str, None] = {}
        self._operator = operator
        self._limit = self._allowed = 5
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher")

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        last = False
        while not last:
            last = self._ended.wait(LOOK_SECONDS)
            try:
                self._look()
            except OSError:
                self._engine_is_away()
            except Exception as error:
                self.wrong[f"the watcher failed: {error!r}"] = None

    def _engine_is_away(self) -> None:
        """With the engine, strangers stop and start."""
        with self._operator.lock:
            self._operator.strangers.update(dict.fromkeys(self._operator.strangers, ""))

    def _look(self) -> None:
        ours = [row for row in self._ask("/containers/json", {"all": 1}) if self._is_ours(row)]
        up = [row for row in ours if row["State"] in UP]
        self._check_limit(len(up))
        for sandbox, count in Counter(row["Labels"]["reconciler.sandbox"] for row in up).items():
            if count > 1:
                self._say(f"{count} run for {sandbox}")
        for row in up:
            self._check_floor(row["Id"])
        with self._operator.lock:
            for stranger in self._operator.strangers:
                self._check_stranger(stranger)
        self.looks += 1

    def _is_ours(self, row: dict[str, Any]) -> bool:
        labels = row["Labels"]
        name = f"/reconciler.{self._operator.instance}.{labels.get('reconciler.sandbox')}."
        return (
            row["Id"] not in self._operator.strangers
            and labels.get("reconciler.instance") == self._operator.instance
            and any(re.fullmatch(re.escape(name) + "[0-9a-f]{8}", found) for found in row["Names"])
        )

    def _check_limit(self, up: int) -> None:
        """While the limit is lowered, as many as there are may be up, and never more again."""
        with suppress(PolicyInvalid):
            if self._operator.policy_file.exists():
                self._limit = read_policy(self._operator.policy_file).sandboxes_max
        self._allowed = max(self._limit, min(self._allowed, up))
        if up > self._allowed:
            self._say(f"{up} are up under a limit of {self._limit}")

    def _check_floor(self, container: str) -> None:
        found = self._inspect(container)
        if found is not None and container not in self.excused:
            socket = Path(self._operator.engine.host.removeprefix("unix://"))
            is_podman = self._operator.engine.program.name == "podman"
            for what in outside_the_floor(in_dockers_words(found) if is_podman else found, socket):
                self._say(f"{found['Name']} is up with {what}")

    def _check_stranger(self, stranger: str) -> None:
        found = self._inspect(stranger)
        before = self._operator.strangers[stranger]
        if found is None:
            self._say(f"stranger {stranger} is gone")
        elif found["State"]["Running"]:
            started = self._operator.strangers[stranger] = found["State"]["StartedAt"]
            if before not in {"", started}:
                self._say(f"stranger {found['Name']} was restarted")
        elif before:
            self._say(f"stranger {found['Name']} was stopped")

    def _inspect(self, container: str) -> dict[str, Any] | None:
        """None for a container that is gone."""
        try:
            return dict(self._ask(f"/containers/{container}/json"))
        except RuntimeError as error:
            if "No such container" in str(error):
                return None
            raise

    def _ask(self, path: str, query: Any = None) -> Any:
        return json.loads(ask(self._operator.engine.host, "GET", path, query, seconds=ANSWER_SECONDS))

    def _say(self, what: str) -> None:
        self.wrong[what] = None


def in_dockers_words(inspection: dict[str, Any]) -> dict[str, Any]:
    """As Docker would say it, that no capability is left and no new privileges are to be had, of what Podman says."""
    host = inspection["HostConfig"]
    options = ["no-new-privileges:true" if one == "no-new-privileges" else one for one in host["SecurityOpt"] or []]
    dropped = ["ALL"] if {*(host["CapDrop"] or [])} >= OF_PODMAN else host["CapDrop"]
    return {**inspection, "HostConfig": {**host, "CapDrop": dropped, "SecurityOpt": options}}


@pytest.fixture
def operator(operator: Operator) -> Operator:
    return WatchedOperator(**vars(operator))


@pytest.fixture(autouse=True)
def watcher(operator: WatchedOperator) -> Iterator[Watcher]:
    """Watches from the beginning of the test to its end, and fails it when anything was ever wrong."""
    watcher = Watcher(operator)
    watcher.start()
    yield watcher
    watcher.end()
    assert watcher.looks, "the watcher never saw the engine"
    assert list(watcher.wrong) == []
    if operator.running:
        assert "Traceback" not in operator.log


@pytest.fixture
def proxy(operator: Operator) -> Iterator[Proxy]:
    """Between the command and the engine; the operator looks past it."""
    with Proxy(operator.engine.host, operator.root / "proxy.sock") as proxy:
        operator.host = proxy.host
        yield proxy
