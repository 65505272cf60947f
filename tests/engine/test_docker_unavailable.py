"""What `DockerEngine` makes of an engine that is not there, says nothing, or talks nonsense."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingUnixStreamServer

import pytest

from reconciler.engine.address import Address
from reconciler.engine.docker import client
from reconciler.engine.docker.client import DockerEngine
from reconciler.model.errors import EngineRefused, EngineUnavailable, Refusal
from reconciler.model.world import State
from tests.conftest import IMAGE
from tests.engine.stranger import Stranger
from tests.private_engine import PrivateEngine
from tests.waiting import eventually

GONE = "0" * 64

VERSION = b'{"ApiVersion": "1.41", "Version": "1"}'

ROW = b'{"Id": "%s", "Names": ["/x"], "Labels": {}, "State": "%s", "Status": "", "Created": 1}'

Serve = Callable[..., DockerEngine]


def reply(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def unavailable(engine: DockerEngine, match: str) -> None:
    with pytest.raises(EngineUnavailable, match=match):
        engine.containers()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A socket that tells its version, and answers everything else with the bytes given, or with None not at all."""
    answers: list[bytes | None] = []
    known: dict[bytes, bytes | None] = {b"/version": VERSION}

    class Answer(StreamRequestHandler):
        def handle(self) -> None:
            (_, path, _), *_ = map(bytes.split, iter(self.rfile.readline, b"\r\n"))
            if body := next((body for end, body in known.items() if path.endswith(end)), None):
                self.wfile.write(reply(body))
            elif answers[0] is None:
                self.rfile.read(1)
            else:
                self.wfile.write(answers[0])

    def start(answer: bytes | None, info: bytes | None = None) -> DockerEngine:
        answers.append(answer)
        known[b"/info"] = info
        return DockerEngine(Address(f"unix://{tmp_path}/engine.sock"), "test")

    with ThreadingUnixStreamServer(str(tmp_path / "engine.sock"), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield start
        server.shutdown()
        thread.join()


def test_nothing_is_asked_before_it_must_be() -> None:
    """An engine object can be had while no engine is there."""
    DockerEngine(Address("unix:///nowhere/engine.sock"), "test")


def test_no_socket() -> None:
    """A socket that does not exist is told with what to do about it."""
    unavailable(
        DockerEngine(Address("unix:///nowhere/engine.sock"), "test"),
        "no engine is there; start Docker .*: unix:///nowhere/engine.sock$",
    )


def test_nobody_listens(tmp_path: Path) -> None:
    """A socket that a dead engine left behind is told apart from a wrong answer."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "engine.sock"))
    unavailable(DockerEngine(Address(f"unix://{tmp_path}/engine.sock"), "test"), "no engine listens there")


def test_a_closed_port() -> None:
    """An engine over TCP that is not there is told in the same way."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    unavailable(DockerEngine(Address(f"tcp://127.0.0.1:{port}"), "test"), "no engine listens there")


def test_a_host_that_nobody_knows() -> None:
    """A name that is none is told as such."""
    unavailable(DockerEngine(Address("tcp://nowhere.invalid:2375"), "test"), "no host of that name; .*nowhere.invalid")


def test_not_allowed() -> None:
    """A socket that is not for us is told with what to do about it, however deep the cause lies."""
    error = RuntimeError("docker-py's own")
    error.__cause__ = PermissionError(13, "Permission denied")
    told = client.remedy(error, Address("unix:///run/docker.sock"), "list the containers")
    assert told == "not allowed; be root or a member of the socket's group: unix:///run/docker.sock"


def test_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that accepts and says nothing is given up after a while."""
    monkeypatch.setattr(client, "READ_SECONDS", 0.2)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "engine.sock"))
        silent.listen()
        unavailable(DockerEngine(Address(f"unix://{tmp_path}/engine.sock"), "test"), "no answer in time")


def test_a_silent_registry(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pull of which nothing is heard has failed, while the engine answers: nothing else waits for it."""
    monkeypatch.setattr(client, "PULL_SECONDS", 0.2)
    with pytest.raises(EngineRefused, match="no usable answer from the registry: busybox"):
        serve(None, info=b"{}").pull("busybox", lambda *_: None)


def test_silence_in_a_pull(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pull of which nothing is heard tells nothing about the registry while the engine is silent altogether."""
    for limit in ("PULL_SECONDS", "READ_SECONDS"):
        monkeypatch.setattr(client, limit, 0.2)
    with pytest.raises(EngineUnavailable, match="no answer in time"):
        serve(None).pull("busybox", lambda *_: None)


@pytest.mark.parametrize("status", [b"404 Not Found", b"500 Oh", b"503 Service Unavailable"])
def test_a_refused_pull(serve: Serve, status: bytes) -> None:
    """What a registry answers is neither told nor taken for the engine's own: a 503 can be its own."""
    answer = reply(b'{"message": "port is already allocated, name is already in use"}', status)
    with pytest.raises(EngineRefused) as refused:
        serve(answer).pull("busybox", lambda *_: None)
    assert str(refused.value) == "the engine's log says why it cannot be pulled: busybox"
    assert refused.value.refusal is Refusal.OTHER


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", id="another protocol"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[", id="cut short"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n[", id="cut chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", id="no chunk"),
        pytest.param(reply(b"[{"), id="half of the JSON"),
        pytest.param(reply(b"\xff\xfe"), id="not text"),
        pytest.param(reply(b"[" * 100_000), id="JSON without a bottom"),
        pytest.param(reply(b"null"), id="null"),
        pytest.param(reply(b'{"message": "no rows"}'), id="an object"),
        pytest.param(reply(b"[7]"), id="a row that is none"),
        pytest.param(reply(b"[{}]"), id="a row without anything"),
        pytest.param(reply(b"[" + ROW % (b"abc", b"running") + b"]"), id="a short id"),
        pytest.param(reply(b'{"message": "starting"}', b"503 Service Unavailable"), id="not ready"),
    ],
)
def test_an_answer_that_cannot_be_trusted(serve: Serve, answer: bytes) -> None:
    """Whatever is not a whole list of containers is not a list: what runs is unknown, not nothing."""
    unavailable(serve(answer), "cannot list the containers")


def test_one_bad_row_spoils_the_list(serve: Serve) -> None:
    """A list of which one row makes no sense is not believed in part."""
    good, bad = ROW % (GONE.encode(), b"running"), ROW % (b"1", b"running")
    unavailable(serve(reply(b"[%s,%s]" % (good, bad))), "cannot list the containers")


def test_a_long_refusal_is_cut(serve: Serve) -> None:
    """What an engine says is passed on, up to a length, and as valid text."""
    with pytest.raises(EngineRefused) as refused:
        serve(reply(b'{"message": "\\ud800%s"}' % (b"x" * 10_000), b"500 Oh")).containers()
    assert refused.value.refusal is Refusal.OTHER
    assert len(str(refused.value)) < 600
    assert str(refused.value).encode()


def test_a_description_that_is_not_known(serve: Serve) -> None:
    """One container that is described in another form is refused, and spoils no other."""
    with pytest.raises(EngineRefused) as refused:
        serve(reply(b'{"Id": "%s", "State": {"Status": "dancing"}}' % GONE.encode())).inspect(GONE)
    assert refused.value.refusal is Refusal.UNREADABLE


@pytest.mark.parametrize(
    "answer", [b"{}", b"[]", b"null", b'{"Id": "sha256:0", "Config": 7}', b'{"Id": "", "RepoDigests": 7}']
)
def test_an_image_that_is_described_in_an_unknown_form(serve: Serve, answer: bytes) -> None:
    """It is refused by itself, and the engine is still there for all others."""
    with pytest.raises(EngineRefused) as refused:
        serve(reply(answer)).image("busybox")
    assert refused.value.refusal is Refusal.UNREADABLE


def test_another_container_than_asked_for(serve: Serve) -> None:
    """An answer about another container is not taken for this one."""
    with pytest.raises(EngineUnavailable, match="cannot inspect"):
        serve(reply(b'{"Id": "%s"}' % (b"1" * 64))).inspect(GONE)


@pytest.mark.parametrize("container", ["", "abc", "web", "../images", GONE[:-1], GONE + "0", GONE.replace("0", "A")])
def test_only_full_ids_are_sent(container: str) -> None:
    """A name, or the beginning of an id, could mean another container: it is never sent."""
    engine = DockerEngine(Address("unix:///nowhere/engine.sock"), "test")
    calls: list[Callable[[], object]] = [
        lambda: engine.inspect(container),
        lambda: engine.start(container),
        lambda: engine.stop(container, 0),
        lambda: engine.unpause(container),
        lambda: engine.remove(container),
        lambda: list(engine.output(container, b"")),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="is not a full id"):
            call()


def test_read_only_sends_nothing_that_changes(private_engine: PrivateEngine, engine_instance: str) -> None:
    """A read-only engine reads, and raises before it would send anything else."""
    engine = DockerEngine(Address(private_engine.host), engine_instance, read_only=True)
    assert not engine.facts().lacking
    assert engine.containers() == ()
    assert engine.image(IMAGE) is not None
    changes: list[Callable[[], object]] = [
        engine.create_network,
        lambda: engine.pull("127.0.0.1:9/nowhere:1", lambda *_: None),
        lambda: engine.start(GONE),
        lambda: engine.stop(GONE, 0),
        lambda: engine.unpause(GONE),
        lambda: engine.remove(GONE),
    ]
    for change in changes:
        with pytest.raises(RuntimeError, match="a read-only engine was asked to"):
            change()
    assert engine.network() is None


def test_an_engine_that_goes_and_comes_back(engine_instance: str) -> None:
    """While the engine is dead it is unavailable and its event stream ends; later the same object works again."""
    private = PrivateEngine.for_tests()
    private.start()
    try:
        engine = DockerEngine(Address(private.host), engine_instance)
        events = engine.events()
        next(events)
        private.kill()
        unavailable(engine, "no engine")
        with pytest.raises(EngineUnavailable):
            next(events)
        private.start()
        assert engine.containers() == ()
    finally:
        private.erase()


def test_an_endless_line_comes_in_pieces(private_engine: PrivateEngine, engine_instance: str) -> None:
    """Output is never held as a whole, however long its lines are; escape sequences and NUL come through."""
    stranger = Stranger(private_engine.host)
    script = "head -c 3000000 /dev/zero; printf '\\033[31m'"
    container = stranger.run_foreign("talker", IMAGE, Cmd=["sh", "-c", script])
    engine = DockerEngine(Address(private_engine.host), engine_instance)
    eventually(lambda: engine.inspect(container).state is State.EXITED)
    outputs = [output for some in engine.output(container, b"") for output in some]
    assert max(len(output.text) for output in outputs) <= 16 * 1024
    assert len({output.at for output in outputs}) == 1
    assert b"".join(output.text for output in outputs) == bytes(3_000_000) + b"\033[31m"
    stranger.leave()
