"""Serve the rounds' HTML reports of `hyperfed dev up` beside Prefect's UI (`ReportPages`).

1. The address opens on a page that lists the rounds, newest first, each with its outcome and
   headline. The link on a round's page in Prefect's UI leads to the report itself.
2. The server listens on 127.0.0.1 only, answers GET and HEAD, serves files of its folder and lists
   none.
3. The list is made from the reports when it is asked for, so that no file of it can be old.
4. The server lives in a thread of the process that starts it and ends with that process, so that
   there is nothing to clean up after a crash.

What it does not do: authenticate. In production the folder is served by whatever serves the
organisation's other pages (docs/operations.md).
"""

import io
import re
import threading
from dataclasses import dataclass
from functools import partial
from html import escape
from html.parser import HTMLParser
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from hyperfed.errors import TransportError
from hyperfed.report.html import OUTCOME_META
from hyperfed.report.html_style import STYLE

__all__ = ["ReportPages", "index_page"]

_NAME = re.compile(r"(?P<federation>.+)-round-(?P<round>\d+)\.html")
_HEAD = 4096  # bytes of a report that hold its head up to the style
_AGAIN_S = 10  # seconds after which the page loads itself again


@dataclass(frozen=True, slots=True, kw_only=True)
class _Report:
    """A report in the folder, by its name and by what its head says."""

    name: str
    round: int
    federation: str
    outcome: str
    headline: str


class _Head(HTMLParser):
    """Collect the `<meta name= content=>` elements of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.said: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "meta" and attributes.get("name"):
            self.said[str(attributes["name"])] = attributes.get("content") or ""


def _reports(folder: Path) -> list[_Report]:
    """Return the reports in `folder`, the newest round first."""
    reports = []
    for path in folder.glob("*.html"):
        if match := _NAME.fullmatch(path.name):
            head = _Head()
            with path.open("rb") as file:
                head.feed(file.read(_HEAD).decode(errors="replace"))
            reports.append(
                _Report(
                    name=path.name,
                    round=int(match["round"]),
                    federation=match["federation"],
                    outcome=head.said.get(OUTCOME_META, ""),
                    headline=head.said.get("description", f"Round {int(match['round'])}"),
                )
            )
    return sorted(reports, key=lambda report: (-report.round, report.name))


def index_page(folder: Path) -> str:
    """Return the page that lists the reports in `folder`, as HTML."""
    reports = _reports(folder)
    rows = "".join(
        f'<tr><th scope="row"><a href="{escape(r.name)}">{r.round}</a></th>'
        f'<td><span class="{escape(r.outcome.replace(" ", "-"))}">{escape(r.outcome)}</span></td>'
        f'<td><a href="{escape(r.name)}">{escape(r.headline)}</a></td></tr>'
        for r in reports
    )
    table = (
        '<div class="scroll"><table><caption>Newest first. A round is listed once its flow has run.'
        '</caption><thead><tr><th scope="col">round</th><th scope="col">outcome</th>'
        f'<th scope="col">what became of it</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )
    none = "<p>No round has a report yet. The first one appears when its flow has run.</p>"
    names = sorted({r.federation for r in reports})
    sites = "".join(
        f'<p><a href="{escape(name)}/index.html">What {escape(name)} knows: the graph</a></p>'
        for name in names
        if (folder / name / "index.html").is_file()
    )
    title = f"Rounds of federation {names[0]}" if len(names) == 1 else "Rounds"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<meta http-equiv="refresh" content="{_AGAIN_S}">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main><header><h1>{escape(title)}</h1></header>"
        f'<section class="card" aria-label="Rounds">{sites}{table if reports else none}</section>'
        "</main></body></html>\n"
    )


class _Handler(SimpleHTTPRequestHandler):
    """Serve the list at the root and files below it, without a line in the log for each request."""

    def send_head(self) -> Any:
        path = self.path.partition("?")[0].partition("#")[0]
        if path not in ("/", "/index.html"):
            return super().send_head()
        page = index_page(Path(self.directory)).encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        return io.BytesIO(page)

    def list_directory(self, path: Any) -> None:
        self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *args: Any) -> None:
        return


class ReportPages:
    """Serves the reports in `folder` on 127.0.0.1, at `port`."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Return the address of the list."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve the folder; nothing happens where it is served already.

        Raises TransportError where the port is taken.
        """
        if self._server is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            handler = partial(_Handler, directory=str(self.folder))
            self._server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        except OSError as exc:
            raise TransportError(
                f"the port is taken: {exc.strerror}",
                subject=self.url,
                remedy="End the process that has it, or remove ports.json to get another port",
            ) from exc
        threading.Thread(target=self._server.serve_forever, name="reports", daemon=True).start()

    def stop(self) -> None:
        """Stop serving; nothing happens where the folder is not served."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
