"""What stands at the other end of a notification: an HTTP server and a mail server on the loopback
address that keep what they get.
"""

import email
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.waiting import PATIENCE_S, eventually

__all__ = ["Kept", "mail_server", "web_server"]


class Kept:
    """What has come, and where it comes to."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.texts: list[str] = []

    def awaits(self, *words: str, most_s: float = PATIENCE_S) -> str:
        """The first text that holds all the words, once it is there."""
        return eventually(
            lambda: next((t for t in list(self.texts) if all(word in t for word in words)), None),
            lambda: f"{words}; what came: {self.texts}",
            most_s=most_s,
        )


@contextmanager
def _running(server: socketserver.TCPServer) -> Iterator[None]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def web_server() -> Iterator[Kept]:
    """Keeps "title: text" of the JSON documents posted to it."""
    keep: list[Callable[[Any], None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            keep[0](json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept = Kept(server.server_address[1])
    keep.append(lambda said: kept.texts.append(f"{said['title']}: {said['text']}"))
    with _running(server):
        yield kept


@contextmanager
def mail_server() -> Iterator[Kept]:
    """Keeps "to: subject: body" of the messages sent to it: as much of SMTP as a sender needs."""
    keep: list[Callable[[str, Message], None]] = []

    class Handler(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def handle(self) -> None:
            self.say("220 here")
            to = ""
            for raw in self.rfile:
                line = raw.decode().strip()
                if line.upper().startswith("DATA"):
                    self.say("354 go on")
                    message = b"".join(iter(self.rfile.readline, b".\r\n"))
                    keep[0](to, email.message_from_bytes(message))
                if line.upper().startswith("RCPT TO:"):
                    to = line[8:]
                self.say("221 bye" if line.upper() == "QUIT" else "250 well")
                if line.upper() == "QUIT":
                    return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    kept = Kept(server.server_address[1])

    def take(to: str, message: Message) -> None:
        body = message.get_payload(decode=True)
        assert isinstance(body, bytes)
        kept.texts.append(f"{to}: {message['subject']}: {body.decode()}")

    keep.append(take)
    with _running(server):
        yield kept
