"""A Docker Engine, or what speaks its API. The only file that knows docker-py; none of its errors leave it."""

import json
import logging
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

from docker.errors import DockerException
from requests import Response
from requests.exceptions import HTTPError, RequestException
from urllib3.exceptions import HTTPError as Urllib3Error
from urllib3.exceptions import SSLError as Urllib3SSLError
from urllib3.exceptions import TimeoutError as Urllib3Timeout

from reconciler.engine.address import Address
from reconciler.engine.docker import decode
from reconciler.engine.docker.api import READ_SECONDS, Client
from reconciler.engine.docker.causes import cause, refused
from reconciler.engine.docker.credentials import CredentialsUnusable, credentials
from reconciler.engine.docker.decode import full_id, unmistakable
from reconciler.engine.docker.encode import encode
from reconciler.engine.docker.output import outputs, pieces, unix_time
from reconciler.engine.docker.podman import PodmanClient
from reconciler.engine.docker.pulling import PullProgress
from reconciler.engine.docker.refusals import WANTS_LOGIN, not_pulled
from reconciler.engine.docker.ssh import SshFailed
from reconciler.engine.protocol import SUBSCRIBED, PullProgressed
from reconciler.model import labels
from reconciler.model.container import ContainerSpec
from reconciler.model.errors import EngineRefused, EngineUnavailable, Refusal
from reconciler.model.output import Output
from reconciler.model.world import EngineFacts, EngineHealth, Event, Image, Inspection, Network, Summary, Written
from reconciler.spec.image_reference import Reference
from reconciler.spec.text import printable

log = logging.getLogger(__name__)

MEASURE_SECONDS = 60
CHANGE_SECONDS = 60
STOP_SECONDS = 30
"""Besides the grace period."""
PULL_SECONDS = 120
"""Between two pieces of what the engine tells about a pull."""
EVENTS_SECONDS = 600
"""Between two events; a connection that was silent for so long may be dead, and is opened anew."""

IDLE_MAX = 16
"""So many clients are kept for the next calls."""

PROGRESS_SECONDS = 1.0

ANSWER_MAX = 2000
SHORT = 12
"""The most characters of an engine's answer that are read, and those of an id in a message."""

ENGINE_TROUBLE = (
    DockerException,
    RequestException,
    Urllib3Error,
    HTTPException,
    OSError,
    RecursionError,
    *decode.MALFORMED,
)

SILENCE = (TimeoutError, Urllib3Timeout)

REMEDIES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (SshFailed, "ssh: {error}: {host}"),
    (FileNotFoundError, "no engine is there; start Docker or give --host: {host}"),
    (ConnectionRefusedError, "no engine listens there; start Docker or give --host: {host}"),
    (PermissionError, "not allowed; be root or a member of the socket's group: {host}"),
    (socket.gaierror, "no host of that name; correct --host: {host}"),
    ((ssl.SSLError, Urllib3SSLError), "certificates that are not trusted, here or there; see DOCKER_CERT_PATH: {host}"),
    (SILENCE, "no answer in time: cannot {what}"),
)

UNAVAILABLE = 503

WANTS_TLS = "HTTP request to an HTTPS server"


class DockerEngine:
    """The `Engine` at an address, of which it sees one instance.

    It connects when it is first asked, and may be asked by several threads at once: each call has a client to itself.
    With `read_only` a call that would change anything raises `RuntimeError` before anything is sent. `registries` is
    the file with the credentials for them.
    """

    def __init__(
        self, address: Address, instance: str, registries: Path | None = None, *, read_only: bool = False
    ) -> None:
        self._address = address
        self._registries = registries
        self._instance = instance
        self._read_only = read_only
        self._idle: deque[Client] = deque(maxlen=IDLE_MAX)
        self._agreed: tuple[type[Client], str] | None = None

    def facts(self) -> EngineFacts:
        with self._asking("ask the engine about itself", READ_SECONDS) as client:
            return decode.facts(client.version(), client.info())

    def identity(self) -> str:
        with self._asking("ask the engine which one it is", READ_SECONDS) as client:
            return decode.identity(client.info())

    def health(self) -> EngineHealth:
        with self._asking("ask the engine how it is", READ_SECONDS) as client:
            return decode.health(client.version(), client.info())

    def containers(self) -> tuple[Summary, ...]:
        with self._asking("list the containers", READ_SECONDS) as client:
            return tuple(map(decode.summary, client.containers(all=True, filters=self._ours)))

    def writable(self) -> Mapping[str, str]:
        with self._asking("ask what containers can write", READ_SECONDS) as client:
            return decode.writable(client.containers(all=True))

    def inspect(self, container: str) -> Inspection:
        with self._asking(f"inspect container {full_id(container)[:SHORT]}", READ_SECONDS) as client:
            answer = decode.about(container, client.inspect_container(container))
        with _describing():
            return decode.inspection(answer)

    def network(self) -> Network | None:
        with self._asking("look for the network", READ_SECONDS) as client:
            return decode.network(client.networks(names=[labels.network_name(self._instance)]), self._instance)

    def image(self, reference: str) -> Image | None:
        in_full = unmistakable(reference)
        try:
            with self._asking(f"look for image {reference}", READ_SECONDS) as client:
                answer = client.inspect_image(in_full)
        except EngineRefused as refused:
            if refused.refusal is Refusal.IMAGE_MISSING:
                return None
            raise
        with _describing():
            return decode.image(reference, answer)

    def output(self, container: str, since: bytes) -> Iterator[list[Output]]:
        what, path = f"read the output of container {full_id(container)[:SHORT]}", f"/containers/{container}/logs"
        query = {"stdout": "1", "stderr": "1", "follow": "1", "timestamps": "1"}
        if since:
            query["since"] = unix_time(since)
        with self._streaming(what, path, query, None) as response:
            for some in outputs(pieces(response)):
                yield [one for one in some if one.at >= since]

    def written(self) -> tuple[Written, ...]:
        with self._asking("measure what the containers have written", MEASURE_SECONDS) as client:
            return tuple(map(decode.written, client.containers(all=True, size=True, filters=self._ours)))

    def volume_sizes(self) -> Mapping[str, int]:
        with self._asking("measure the volumes", MEASURE_SECONDS) as client:
            url = f"{client.base_url}/v{client.api_version}/system/df"
            response = client.get(url, params={"type": "volume"})
            response.raise_for_status()
            return decode.volume_sizes(response.json())

    def events(self) -> Iterator[Event]:
        """The first one tells nothing but that the engine listens: what happened before must be looked for."""
        query = {"filters": json.dumps({"type": ["container", "network"], "event": [*decode.EVENTS]})}
        with self._streaming("follow the events", "/events", query, EVENTS_SECONDS) as response:
            yield SUBSCRIBED
            for line in response.iter_lines():
                if event := decode.event(json.loads(line), self._instance):
                    yield event

    @property
    def _ours(self) -> Mapping[str, str]:
        return {"label": f"{labels.INSTANCE}={self._instance}"}

    def create_network(self) -> None:
        with _accepting(Refusal.NAME_TAKEN), self._asking("create the network", CHANGE_SECONDS) as client:
            client.create_network(
                labels.network_name(self._instance),
                driver="bridge",
                options=decode.NO_TRAFFIC_BETWEEN,
                labels={labels.INSTANCE: self._instance},
                check_duplicate=True,
            )

    def remove_network(self, network: str) -> None:
        what = f"remove network {full_id(network)[:SHORT]}"
        with _accepting_words("not found"), self._asking(what, CHANGE_SECONDS) as client:
            client.remove_network(network)

    def pull(self, reference: str, progress: PullProgressed) -> None:
        in_full, login = unmistakable(reference), self._login(reference)
        so_far = PullProgress()
        told_at = -PROGRESS_SECONDS
        with self._asking(f"pull {reference}", PULL_SECONDS) as client, self._hearing_a_registry(reference):
            for message in client.pull(in_full, stream=True, decode=True, auth_config=login):
                if error := message.get("error"):
                    raise _not_pulled(reference, str(error))
                so_far.hear(message)
                if time.monotonic() - told_at >= PROGRESS_SECONDS:
                    told_at = time.monotonic()
                    progress(str(so_far), so_far.share)

    def _login(self, reference: str) -> Mapping[str, str]:
        try:
            return credentials(self._registries, Reference.parse(reference).domain) if self._registries else {}
        except CredentialsUnusable as error:
            raise EngineRefused(Refusal.UNAUTHORIZED, f"{error}: {reference}") from error

    def create(self, name: str, spec: ContainerSpec) -> str:
        with self._asking(f"create container {name}", CHANGE_SECONDS) as client:
            return full_id(client.create_container_from_config(encode(spec, client.api_version), name)["Id"])

    def start(self, container: str) -> None:
        with self._asking(f"start container {full_id(container)[:SHORT]}", CHANGE_SECONDS) as client:
            client.start(container)

    def stop(self, container: str, grace_seconds: int) -> None:
        what = f"stop container {full_id(container)[:SHORT]}"
        with _accepting(Refusal.NOT_FOUND), self._asking(what, STOP_SECONDS) as client:
            client.stop(container, timeout=grace_seconds)

    def rename(self, container: str, name: str) -> None:
        with self._asking(f"rename container {full_id(container)[:SHORT]}", CHANGE_SECONDS) as client:
            client.rename(container, name)

    def unpause(self, container: str) -> None:
        what = f"unpause container {full_id(container)[:SHORT]}"
        with _accepting_words("is not paused"), self._asking(what, CHANGE_SECONDS) as client:
            client.unpause(container)

    def remove(self, container: str) -> None:
        what = f"remove container {full_id(container)[:SHORT]}"
        with _accepting(Refusal.NOT_FOUND), self._asking(what, CHANGE_SECONDS) as client:
            client.remove_container(container, v=True)

    @contextmanager
    def _asking(self, what: str, seconds: int) -> Iterator[Any]:
        """A client for one call, which raises nothing but our own errors; `what` completes "cannot".

        It is a `Client`, of which docker-py's types know half the methods. One that saw trouble is not used again:
        another engine, of another version, may be behind the socket by then. What is kept is the version agreed upon,
        not the connections: docker-py would hold one for each URL that it ever asked for.
        """
        with self._in_our_words(what), self._borrow() as client:
            client.timeout = seconds
            yield client
        self._idle.append(client)

    @contextmanager
    def _in_our_words(self, what: str) -> Iterator[None]:
        try:
            yield
        except HTTPError as error:
            self._agreed = None
            raise _refusal(what, error.response) from error
        except ENGINE_TROUBLE as error:
            self._agreed = None
            raise EngineUnavailable(remedy(error, self._address, what)) from error

    @contextmanager
    def _hearing_a_registry(self, reference: str) -> Iterator[None]:
        """Keeps a registry's answer out of messages, and its silence apart from the engine's own."""
        try:
            yield
        except HTTPError as error:
            raise _not_pulled(reference, _message(error.response)) from error
        except ENGINE_TROUBLE as error:
            if not any(isinstance(cause, SILENCE) for cause in _causes(error)):
                raise
            self.facts()
            raise _not_pulled(reference, "timed out") from error

    def _borrow(self) -> Client:
        try:
            return self._idle.pop()
        except IndexError:
            if self._agreed is None:
                first = Client(self._address, None, read_only=True)
                self._agreed = PodmanClient if first.is_podman else Client, first.api_version
            kind, version = self._agreed
            return kind(self._address, version, read_only=self._read_only)

    @contextmanager
    def _streaming(
        self, what: str, path: str, query: Mapping[str, str], silence_seconds: int | None
    ) -> Iterator[Response]:
        """The answer to a GET, to be read piece by piece; docker-py's own streams have no end to their waits.

        It has the connection to itself; the client is free again, as hundreds of them would be a lot of memory.
        """
        with self._asking(what, READ_SECONDS) as client:
            url = f"{client.base_url}/v{client.api_version}{path}"
            response = client.get(url, params=query, stream=True, timeout=(READ_SECONDS, silence_seconds))
        with self._in_our_words(what), response:
            if not response.ok:
                raise _refusal(what, response)
            yield response


@contextmanager
def _accepting(kind: Refusal) -> Iterator[None]:
    """What the engine refuses for this reason is already as wanted."""
    try:
        yield
    except EngineRefused as refused:
        if refused.refusal is not kind:
            raise


@contextmanager
def _accepting_words(words: str) -> Iterator[None]:
    """What the engine refuses in these words is already as wanted; its status code does not tell."""
    try:
        yield
    except EngineRefused as error:
        if words not in error.engine_said:
            raise


@contextmanager
def _describing() -> Iterator[None]:
    """An unknown form of one description is the fault of that container or image, not of the whole engine."""
    try:
        yield
    except decode.MALFORMED as error:
        raise EngineRefused(Refusal.UNREADABLE, "its description has an unknown form") from error


def _refusal(what: str, response: Response) -> EngineRefused | EngineUnavailable:
    text = _message(response)
    if response.status_code == UNAVAILABLE:
        return EngineUnavailable(f"{cause(text)}: cannot {what}")
    return refused(response.status_code, text)


def _not_pulled(reference: str, text: str) -> EngineRefused:
    log.debug("cannot pull %s: %s", reference, printable(text))
    why = not_pulled(text[:ANSWER_MAX])
    return EngineRefused(Refusal.UNAUTHORIZED if why == WANTS_LOGIN else Refusal.OTHER, f"{why}: {reference}")


def _message(response: Response) -> str:
    try:
        return printable(response.json()["message"].strip(), ANSWER_MAX)
    except ENGINE_TROUBLE:
        return printable(response.reason)


def remedy(error: BaseException, address: Address, what: str) -> str:
    """What is wrong and what people can do about it; for an unknown error, its own text at the end."""
    if WANTS_TLS in str(error):
        return f"the engine wants TLS; set DOCKER_TLS_VERIFY=1: {address}"
    causes = tuple(_causes(error))
    for kind, remedy in REMEDIES:
        if found := next((cause for cause in causes if isinstance(cause, kind)), None):
            return remedy.format(host=address, what=what, error=found)
    return f"no answer that can be trusted: cannot {what}: {type(error).__name__}: {printable(error)}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__
