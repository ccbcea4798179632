"""A store whose clock can be wrong, and that can keep writers waiting: what stands between it and
its callers, holds their writes back, and gives every answer another date.
"""

import email.utils
import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["Shifted", "shifted"]

_OURS = {"date", "connection", "transfer-encoding"}


class Shifted:
    """Where callers find the store, by how many seconds its dates are behind, and whether writes
    reach it, or wait.
    """

    def __init__(self, port: int) -> None:
        self.endpoint_url = f"http://127.0.0.1:{port}"
        self.behind_s = 0.0
        self.takes_writes = threading.Event()
        self.takes_writes.set()


@contextmanager
def shifted(port: int) -> Iterator[Shifted]:
    """Pass requests on to a server of this machine, unchanged, and its answers with another date.

    What it signs for is the caller's own address, which a request's headers name.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.command == "PUT":
                place.takes_writes.wait()
            there = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                there.request(self.command, self.path, body, dict(self.headers.items()))
                answer = there.getresponse()
                content = answer.read()
            except OSError:  # the store is away
                self.close_connection = True
                return
            finally:
                there.close()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _OURS:
                    self.send_header(name, value)
            if answer.getheader("content-length") is None:
                self.send_header("content-length", str(len(content)))
            moment = time.time() - place.behind_s
            self.send_header("date", email.utils.formatdate(moment, usegmt=True))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_one

        def log_message(self, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    place = Shifted(server.server_address[1])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield place
    finally:
        place.takes_writes.set()
        server.shutdown()
        server.server_close()
