"""Turn a source of data into an update of statistics, and say in words what these reveal.

What it does not do: it does not print or send (`submit`, `night`).
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hyperfed.errors import ConfigError

if TYPE_CHECKING:
    from hyperfed.client.finding import Found
    from hyperfed.client.sources import Source
    from hyperfed.engines.readers.series import Series
    from hyperfed.protocol.objects import Plan
    from hyperfed.statistics import Statistics

__all__ = ["found_statistics", "statistics_words"]


def found_statistics(source: "Source", plan: "Plan", *, beside: "Found | None" = None) -> "Found":
    """Return the statistics of a source's data, alone or beside the edges that were found.

    Raises ConfigError where the source is no data, EngineError where they cannot be used.
    """
    from hyperfed.client.finding import Found, read_data
    from hyperfed.client_agent import statistics_update
    from hyperfed.statistics import statistics_of

    policy, vocabulary = plan.policy, plan.vocabulary
    if source.kind not in ("series", "table"):
        raise ConfigError(
            f"is of statistics, and a source of kind {source.kind!r} has no rows to make them of",
            subject=f"plan of round {plan.round}",
            remedy="Give --data FILE, and --engine by its name or not at all",
        )
    if source.kind == "table" and any(policy.lags):
        raise ConfigError(
            f"looks at lags {list(policy.lags)}, and rows of a table have no order",
            subject=f"plan of round {plan.round}",
            remedy="Give a series: rows with a column of dates, or --series",
        )
    table = not any(policy.lags) and source.kind == "series" and not source.series
    series = read_data(replace(source, kind="table") if table else source, vocabulary)
    if policy.privacy == "none":
        statistics = statistics_of(
            series.values,
            names=series.names,
            vocabulary=vocabulary,
            lags=policy.lags,
            intervened=source.intervened,
            form=policy.statistics.form,
            rows_min=policy.statistics.rows_min,
        )
    else:
        statistics = _clipped(series, source, plan)
    update = statistics_update(statistics, beside=None if beside is None else beside.update)
    told = _told(statistics)
    if beside is not None:
        return replace(beside, update=update, statistics=told)
    measured = tuple(vocabulary.names[i] for i in statistics.variables.tolist())
    return Found(
        update=update,
        round=plan.round,
        measured=measured,
        not_measured=tuple(one for one in vocabulary.names if one not in set(measured)),
        lags=statistics.lags,
        lags_not_looked_at=(),
        columns_left_out=series.left_out,
        time=series.time,
        read=series.document,
        edges_shared=0,
        edges_estimated=0,
        edges_held_back=0,
        statistics=told,
        notes=series.notes,
    )


def _clipped(series: "Series", source: "Source", plan: "Plan") -> "Statistics":
    """Return the statistics of a private round. Raises EngineError, ConfigError."""
    from hyperfed.privacy.moments import plan_moments
    from hyperfed.statistics.clipped import clipped_statistics

    policy, vocabulary = plan.policy, plan.vocabulary
    if source.intervened:
        raise ConfigError(
            "names what an experiment set, which a private sum has no place for",
            subject="--intervened, or [data] intervened",
            remedy=(
                "Leave the client out of this round, or take the experiment out of its data. "
                "Nothing was sent"
            ),
        )
    return clipped_statistics(
        series.values,
        names=series.names,
        vocabulary=vocabulary,
        lags=policy.lags,
        row_norm=policy.statistics.row_norm,
        grid=plan_moments(policy, len(vocabulary)).bound,
        centring=policy.statistics.centring,
        rows_min=policy.statistics.rows_min,
    )


def _told(statistics: "Statistics") -> dict[str, Any]:
    """Return what statistics come to, as a document."""
    return {
        "rows": statistics.n,
        "variables": len(statistics.variables),
        "blocks": statistics.width // len(statistics.variables),
        "moments": len(statistics.moments),
        "bytes": statistics.nbytes,
        "counts": len(statistics.counts),
        "form": statistics.form,
    }


def statistics_words(told: dict[str, Any]) -> dict[str, str]:
    """Return in words what statistics reveal of the data, as pairs to show."""
    counts = (
        f", and {told['counts']} numbers of rows, since cells are missing" if told["counts"] else ""
    )
    of = {
        "values": "the scaled values",
        "ranks": "the normal scores of ranks",
        "clipped": "scaled rows, each clipped to the plan's norm",
    }[told["form"]]
    return {
        "Statistics": f"{told['moments']} sums of products of {of} ({told['bytes']} bytes) over "
        f"{told['rows']} rows: {told['variables']} variables at {told['blocks']} lags{counts}",
        "They tell": "the number of rows, the variance of each variable and the covariance of each "
        "pair, also between lags; so every regression and correlation of these variables",
        "They do not tell": "any row, any mean, or anything beside second moments",
    }
