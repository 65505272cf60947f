"""A socket between the controller and an engine, on which calls go wrong as a test says."""

import json
import re
import socket
import socketserver
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

PIECE_BYTES = 64 * 1024
END_OF_HEAD = b"\r\n\r\n"
VERSION = re.compile(r"^/v[\d.]+(/libpod)?(?=/)")
"""Of Docker's API, or of Podman's own."""


class Exchange:
    """One call. A fault decides whether it is forwarded, how often, and what is replied."""

    def __init__(self, client: socket.socket, engine: str, head: bytes, body: bytes) -> None:
        self._client, self._engine = client, engine
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        path = VERSION.sub("", target.partition("?")[0])
        self.call = f"{method} {re.sub(r'[0-9a-f]{64}', 'ID', path)}"
        self._request = head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + body

    def forward(self) -> Iterator[bytes]:
        """Lets the engine do it, and gives its answer piece by piece; the first piece holds the whole head."""
        with socket.socket(socket.AF_UNIX) as upstream:
            upstream.connect(self._engine)
            upstream.sendall(self._request)
            piece = b""
            while END_OF_HEAD not in piece and (more := upstream.recv(PIECE_BYTES)):
                piece += more
            while piece:
                yield piece
                piece = upstream.recv(PIECE_BYTES)

    def reply(self, piece: bytes) -> None:
        self._client.sendall(piece)

    def wait(self) -> None:
        """Until the caller goes away."""
        self._client.recv(1)


Fault = Callable[[Exchange], None]


def passed_on(exchange: Exchange) -> None:
    """No fault."""
    for piece in exchange.forward():
        exchange.reply(piece)


def cut_before(_: Exchange) -> None:
    """The engine never hears of it."""


def cut_after(exchange: Exchange) -> None:
    """It happens, and nobody is told."""
    _drain(exchange.forward())


def duplicated(exchange: Exchange) -> None:
    """It happens twice, and the second answer is told."""
    cut_after(exchange)
    passed_on(exchange)


def swallowed(exchange: Exchange) -> None:
    """The answer begins and nothing more comes, with the connection left open: a half-open stream."""
    _drain(_after_the_head(exchange))
    exchange.wait()


def delayed(seconds: float) -> Fault:
    def fault(exchange: Exchange) -> None:
        time.sleep(seconds)
        passed_on(exchange)

    return fault


def refused(status: int, message: str) -> Fault:
    """The engine says no, in these words."""
    body = json.dumps({"message": message}).encode()
    head = f"HTTP/1.1 {status} No\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"

    def fault(exchange: Exchange) -> None:
        exchange.reply(f"{head}Connection: close{END_OF_HEAD.decode()}".encode() + body)

    return fault


def truncated(length: int) -> Fault:
    """It happens, and so many bytes of the answer are told."""

    def fault(exchange: Exchange) -> None:
        left = length
        for piece in exchange.forward():
            exchange.reply(piece[:left])
            left -= len(piece)
            if left <= 0:
                return

    return fault


def halved(exchange: Exchange) -> None:
    """It happens, and what is told ends in the middle of a document, or of a stream's first one."""
    document = next(_after_the_head(exchange), b"")
    exchange.reply(document[: len(document) // 2])


def repeated(times: int) -> Fault:
    """A stream's first document is told so many times at once, the others as they are."""

    def fault(exchange: Exchange) -> None:
        documents = _after_the_head(exchange)
        exchange.reply(next(documents, b"") * times)
        for document in documents:
            exchange.reply(document)

    return fault


def late(seconds: float) -> Fault:
    """The caller is told nothing, and it happens so much later."""

    def happen(exchange: Exchange) -> None:
        with suppress(OSError):  # the engine may be gone by then
            cut_after(exchange)

    return lambda exchange: threading.Timer(seconds, happen, (exchange,)).start()


def then(act: Callable[[], object], fault: Fault = cut_before) -> Fault:
    """Something else happens after the fault, while the caller still waits."""

    def both(exchange: Exchange) -> None:
        fault(exchange)
        act()

    return both


def _after_the_head(exchange: Exchange) -> Iterator[bytes]:
    """Tells the head of the answer as soon as it is there, and gives what follows piece by piece, untold."""
    pieces = exchange.forward()
    head, end, rest = next(pieces, b"").partition(END_OF_HEAD)
    exchange.reply(head + end)
    if rest:
        yield rest
    yield from pieces


def _drain(pieces: Iterator[bytes]) -> None:
    deque(pieces, maxlen=0)


class Proxy:
    """Listens at `host` while its block lasts. `calls` are those that came, each as `METHOD /path`, ids as `ID`."""

    def __init__(self, engine_host: str, path: Path) -> None:
        self.host = f"unix://{path}"
        self.calls: list[str] = []
        self._path, self._engine = path, engine_host.removeprefix("unix://")
        self._faults: list[tuple[str, Fault]] = []
        self._lock = threading.Lock()
        self._server = _Server(str(path), self._answer)

    def on(self, call: str, fault: Fault, times: int = 1) -> None:
        """The next calls that match the regular expression go wrong; the fault that was said first is used first."""
        with self._lock:
            self._faults += [(call, fault)] * times

    @property
    def unmet(self) -> list[str]:
        """The calls that are to go wrong and have not come yet."""
        with self._lock:
            return [call for call, _ in self._faults]

    def heal(self) -> None:
        """Faults that nothing has met yet are forgotten."""
        with self._lock:
            self._faults.clear()

    def _answer(self, client: socket.socket, head: bytes, body: bytes) -> None:
        exchange = Exchange(client, self._engine, head, body)
        self._fault_of(exchange.call)(exchange)

    def _fault_of(self, call: str) -> Fault:
        with self._lock:
            self.calls.append(call)
            for number, (pattern, fault) in enumerate(self._faults):
                if re.fullmatch(pattern, call):
                    del self._faults[number]
                    return fault
        return passed_on

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._path.unlink()


Answer = Callable[[socket.socket, bytes, bytes], None]


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, path: str, answer: Answer) -> None:
        super().__init__(path, _Handler)
        self.answer = answer


class _Handler(socketserver.StreamRequestHandler):
    """One request for each connection, which is then closed: what ends a reply is then never in doubt."""

    server: _Server

    def handle(self) -> None:
        head = b""
        while (line := self.rfile.readline()) not in {b"\r\n", b""}:
            head += line
        if not head:
            return
        head += b"\r\n"
        length = re.search(rb"\r\nContent-Length: (\d+)", head, re.IGNORECASE)
        body = self.rfile.read(int(length[1])) if length else b""
        with suppress(OSError):  # either side may be gone, which is a fault of the test's making
            self.server.answer(self.connection, head, body)
