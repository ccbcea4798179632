"""A server on this machine that answers as a test says, and what its answers are made of."""

import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from hyperfed.storage.s3 import S3Credentials, S3Limits, S3Store

KEY = S3Credentials(access_key="AKIDEXAMPLE", secret_key="very-secret-text")
ONE_TRY = S3Limits(max_attempts=1, connect_timeout_s=1, read_timeout_s=1)


class ScriptedServer:
    """Answers requests from a list of (status, headers, body); the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # answers Expect: 100-continue

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.requests.append(
                    (self.command, self.path, {k.lower(): v for k, v in self.headers.items()})
                )
                status, headers, body = (
                    outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                )
                self.send_response(status)
                for name, value in {
                    "Content-Length": str(len(body)),
                    "Connection": "close",
                    **headers,
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_HEAD = do_DELETE = answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def store(self, limits: S3Limits = ONE_TRY) -> S3Store:
        return S3Store(
            "bucket",
            prefix="fed",
            endpoint_url=self.url,
            credentials=KEY,
            limits=limits,
            sleep=lambda _: None,
        )


def error(status: int, code: str) -> tuple[int, dict[str, str], bytes]:
    return (
        status,
        {"Content-Type": "application/xml"},
        f"<Error><Code>{code}</Code><Message>said the store</Message></Error>".encode(),
    )


OK = (200, {"ETag": '"x"'}, b"")
PAGE = b"<!doctype html><html><title>Hotel &amp;\nwifi</title></html>"


def http(
    method: str, url: str, data: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})  # noqa: S310 - a loopback address
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - a loopback address
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, b""
