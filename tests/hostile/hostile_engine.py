"""An engine that means harm: it tells well about itself, and refuses with whatever text it likes."""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ABOUT: dict[str, dict[str, Any]] = {
    "/version": {"ApiVersion": "1.41", "Version": "20.10"},
    "/info": {
        "SecurityOptions": ["name=seccomp,profile=default"],
        **dict.fromkeys(("MemoryLimit", "SwapLimit", "CpuCfsQuota", "PidsLimit"), True),
    },
}


@contextmanager
def hostile_engine(refusal: bytes, reason: str, good: Mapping[str, Any]) -> Iterator[str]:
    """The address of an engine that answers the GETs of `good`, and everything else with status 500."""
    answers = {**ABOUT, **good}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = re.sub(r"^/v[0-9.]+|\?.*", "", self.path)
            if path in answers:
                self._answer(200, "OK", json.dumps(answers[path]).encode())
            else:
                self._answer(500, reason, refusal)

        def do_POST(self) -> None:
            self._answer(500, reason, refusal)

        do_DELETE = do_POST  # noqa: N815

        def _answer(self, status: int, reason: str, body: bytes) -> None:
            self.send_response(status, reason)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
