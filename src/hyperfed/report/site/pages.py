"""Assemble the site: a home page, a page for each edge and a page for each round.

1. Everything comes from verified models and views, so that whoever may read results can write the
   site. Whoever may read states as well has a page for each round; for others the rounds are listed
   without one. Whoever holds a key that opens updates has lines for single clients, too.
2. The same models give the same bytes. Addresses are made of digests and digits: no name of a
   variable can lead out of the folder.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from hyperfed.coordinator.frozen import FrozenSets
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import AccessDenied, ConfigError
from hyperfed.hypergraph.change import change_between
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.protocol.entries import EntryKind
from hyperfed.protocol.ledger import Chained
from hyperfed.report.html import html_report
from hyperfed.report.rows import BudgetView, EdgeRow
from hyperfed.report.site.edge_page import edge_page
from hyperfed.report.site.history import EdgeKey, address_of, history_of, rows_of, strongest
from hyperfed.report.site.home_page import home_page
from hyperfed.report.site.own_lines import ClientLines, lines_of, own_lines
from hyperfed.report.spending import budget_view
from hyperfed.report.view import RoundView, committed_model, view_of
from hyperfed.tables.tables import pack_keys

__all__ = ["SiteContent", "site_files"]

PAGES = 500
"""The most edges that get a page, the strongest first."""
_NEIGHBOURS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteContent:
    """Holds what the site shows."""

    models: tuple[GlobalModel, ...]
    """The committed models, ascending by round; at least one."""
    views: tuple[RoundView, ...] = ()
    """The views of rounds, for whoever may read their states."""
    written: frozenset[int] = frozenset()
    """Rounds whose pages are in the folder already."""
    budget: BudgetView | None = None
    """The privacy budget after the newest round; None where it was not read."""
    lines: ClientLines | None = None
    """Single clients' estimates of the newest model's edges, where this reader may see them."""

    @classmethod
    def read(
        cls,
        reader: DropBoxReader,
        ledger: Sequence[Chained],
        *,
        last: int,
        written: frozenset[int] = frozenset(),
        sets: FrozenSets | None = None,
    ) -> "SiteContent":
        """Return the newest `last` committed rounds of a drop-box.

        `ledger` is its verified ledger. The rounds of `written` get no view. `sets` reads what was
        frozen, with a key that opens it: then the pages are the operator's own, and name single
        clients. Raises ConfigError where no round is committed, and what verifying raises.
        """
        numbers = [c.entry.round for c in ledger if c.entry.kind is EntryKind.COMMIT][-last:]
        models = [committed_model(reader, list(ledger), number) for number in numbers]
        views: list[RoundView] = []
        with suppress(AccessDenied):  # a client reads results, not states
            views = [view_of(reader, number) for number in numbers if number not in written]
        kept = tuple(model for model in models if model is not None)
        if not kept:
            raise ConfigError(
                "no round has been committed yet",
                subject="site",
                remedy="Write it after the first round's night",
            )
        lines = lines_of(kept[-1]) if sets is None else own_lines(sets, kept[-1])
        return cls(
            models=kept,
            views=tuple(views),
            written=written,
            budget=budget_view(reader, reader.registry, list(ledger), kept[-1].round),
            lines=lines,
        )


def site_files(content: SiteContent) -> dict[str, str]:
    """Return every page of the site by its path below the folder."""
    models = content.models
    model = models[-1]
    newest = strongest(model, PAGES)
    keys = list(newest)
    rows = [*(rows_of(one, keys) for one in models[:-1]), newest]
    addresses = {key: address_of(key) for key in keys}
    touching: dict[str, list[EdgeKey]] = {}
    for key in keys:
        for end in dict.fromkeys(key[:2]):
            touching.setdefault(end, []).append(key)
    files = {}
    for key in keys:
        near = dict.fromkeys(k for end in key[:2] for k in touching[end] if k != key)
        files[addresses[key]] = edge_page(
            model,
            rows[-1][key],
            history_of(key, models, rows),
            [(other, addresses[other]) for other in list(near)[:_NEIGHBOURS]],
            content.lines,
        )
    rounds = []
    viewed = {view.round: view for view in content.views}
    for one in models:
        there = one.round in viewed or one.round in content.written
        address = f"rounds/{one.round:08d}.html" if there else ""
        if one.round in viewed:
            files[address] = html_report([viewed[one.round]], home="../index.html")
        rounds.append((one.round, f"{len(one.edges):,} edges of {one.clients:,} clients", address))
    change = change_between(models[-2], model) if len(models) > 1 else None
    edges = [EdgeRow(**rows[-1][key]) for key in keys]
    files["index.html"] = home_page(
        model,
        edges,
        _baskets(model, keys),
        change,
        rounds,
        budget=content.budget,
        newest=viewed.get(model.round),
    )
    return files


def _baskets(model: GlobalModel, keys: Sequence[EdgeKey]) -> dict[int, list[str]]:
    """Return for the number of each edge the baskets that support it."""
    if not model.support_by:
        return {}
    index = {name: i for i, name in enumerate(model.vocabulary.names)}
    ends = [(index[source], index[target], lag) for source, target, lag in keys]
    source, target, lag = np.array(ends, dtype=np.int64).reshape(-1, 3).T
    at = np.searchsorted(model.edges.keys, pack_keys(source, target, lag))
    held = np.stack([one.support[at] > 0 for one in model.support_by], axis=1)
    titles = [one.name or "common group" for one in model.support_by]
    return {
        number: [title for title, there in zip(titles, row, strict=True) if there]
        for number, row in enumerate(held.tolist())
    }
