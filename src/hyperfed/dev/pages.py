"""`ReportPages`: the rounds' HTML reports of `hyperfed dev up`, so that the link on a round's page in Prefect's UI leads somewhere.

1. It listens on 127.0.0.1 only and answers GET and HEAD of files below its folder, as Python's own file server does; what the folder holds is listed.
2. It lives in a thread of the process that starts it and ends with it: there is nothing to clean up after a crash.

What it does not do: authenticate. In production the folder is served by whatever serves other pages of the organisation (docs/operations.md).
"""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from hyperfed.errors import TransportError

__all__ = ["ReportPages"]


class _Quiet(SimpleHTTPRequestHandler):
    """No line for each request: the supervisor's log is for what went wrong."""

    def log_message(self, format: str, *args: Any) -> None:
        return


class ReportPages:
    """folder: what is served; port: where, on 127.0.0.1."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve; where it does, nothing happens. Raises TransportError where somebody else has the port."""
        if self._server is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", self.port), partial(_Quiet, directory=str(self.folder)))
        except OSError as exc:
            raise TransportError(f"the port is taken: {exc.strerror}", subject=self.url, remedy="End what has it, or remove ports.json for another") from exc
        threading.Thread(target=self._server.serve_forever, name="reports", daemon=True).start()

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
