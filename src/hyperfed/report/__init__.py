"""Show a round to a person, in one view that `view_of` assembles.

The view is shown as markdown, HTML, pictures and, by `hyperfed.report.text`, in the terminal.
"""

from hyperfed.report.html import html_report
from hyperfed.report.markdown import markdown_page
from hyperfed.report.pictures.graph_svg import change_svg, edges_svg, graph_svg
from hyperfed.report.pictures.trust_svg import trust_svg
from hyperfed.report.site import SiteContent, site_files
from hyperfed.report.view import RoundView, edge_rows, view_of

__all__ = [
    "RoundView",
    "SiteContent",
    "change_svg",
    "edge_rows",
    "edges_svg",
    "graph_svg",
    "html_report",
    "markdown_page",
    "site_files",
    "trust_svg",
    "view_of",
]
