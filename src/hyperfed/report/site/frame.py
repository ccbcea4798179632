"""Frame a page of the site, and hold the one script of the home page.

1. A content security policy in each page lets nothing in but the page's own style and, on the home
   page, the one script that it names by its digest. So a page opens from a folder as from a bucket,
   and text from outside that became markup would still run nothing.
2. Every page begins with a link to its content and says where it stands.
"""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path

from hyperfed.report.html_cells import text_cell
from hyperfed.report.html_style import STYLE

__all__ = ["framed"]

_MORE = """
.skip{position:absolute;left:-9999px}.skip:focus{left:16px;top:8px;background:var(--card);
padding:8px 12px;border-radius:8px;z-index:9}
nav.trail{font-size:14px;color:var(--soft);margin-bottom:14px}
nav.trail a{margin-right:2px}
.controls{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:12px;
margin:14px 0}
.controls label{display:block;font-size:13px;color:var(--soft)}
.controls input,.controls select{width:100%;font:inherit;color:var(--ink);background:var(--card);
border:1px solid var(--line);border-radius:8px;padding:6px 8px;min-height:36px}
.controls input[type=range]{padding:0;accent-color:var(--up)}
.buttons{display:flex;flex-wrap:wrap;gap:8px;margin:8px 0}
button{font:inherit;color:var(--ink);background:var(--head);border:1px solid var(--line);
border-radius:8px;padding:6px 14px;min-height:36px;cursor:pointer}
a:focus-visible,button:focus-visible,input:focus-visible,select:focus-visible,
.scroll:focus-visible{outline:3px solid var(--info);outline-offset:2px}
.canvas{border:1px solid var(--line);border-radius:12px;overflow:hidden;background:var(--card)}
.canvas svg{display:block;width:100%;height:auto;max-height:78vh}
.edge.off,.node.off{opacity:.08}.edge.off{pointer-events:none}
tr.off{display:none}
.edge:hover .hfp-line,.edge:focus .hfp-line{stroke-width:7}
.edge:focus{outline:none}.node{cursor:pointer}.node.on .hfp-node{stroke-width:4}
dl.words{display:grid;grid-template-columns:max-content 1fr;gap:6px 16px;margin:10px 0}
dl.words dt{font-weight:650}dl.words dd{margin:0}
.disputed{color:var(--bad);font-weight:600}
figure.wide svg{max-width:560px}ul.near a{display:inline-block;padding:4px 0}
@media (max-width:600px){main{padding:16px 12px 40px}.card{padding:16px 14px}
dl.words{grid-template-columns:1fr}dl.words dd{margin-bottom:6px}h1{font-size:22px}}
@media print{.controls,.buttons,.skip,nav.trail{display:none}tr.off{display:table-row}
.edge.off,.node.off{opacity:1}.canvas svg{max-height:none}}
""".strip()


@cache
def _script() -> tuple[str, str]:
    """Return the home page's script, and its digest as a content security policy names it."""
    text = (Path(__file__).with_name("graph.js")).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return text, f"'sha256-{digest}'"


def framed(
    *,
    title: str,
    description: str,
    trail: Sequence[tuple[str, str]],
    body: str,
    scripted: bool = False,
) -> str:
    """Return a whole page.

    `trail` holds (words, address) of the pages above this one. `body` is HTML; everything else is
    text. `scripted` puts the home page's script in.
    """
    script, digest = _script() if scripted else ("", "")
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    if scripted:
        policy += f"; script-src {digest}"
    steps = "".join(
        f'<a href="{escape(address)}">{text_cell(words)}</a> / ' for words, address in trail
    )
    way = f'<nav class="trail" aria-label="Where this page is">{steps}{text_cell(title)}</nav>'
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta '
        f'http-equiv="Content-Security-Policy" content="{escape(policy)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta '
        'name="color-scheme" content="light dark">'
        f'<meta name="description" content="{text_cell(description)}">'
        f"<title>{text_cell(title)}</title><style>{STYLE}\n{_MORE}</style></head><body>"
        f'<a class="skip" href="#content">To the content</a><main id="content">'
        f"{way if trail else ''}{body}"
        "<footer>Everything here was read from the drop-box, its signatures verified, and is what "
        "the ledger names.</footer></main>"
        f"{f'<script>{script}</script>' if scripted else ''}</body></html>\n"
    )
