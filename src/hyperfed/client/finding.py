"""Turn a source of edges into an update: read the data, run the engine, keep what may be shared.

1. The round's plan names the lags, and the engine looks at those. `lags` may repeat them, and is
   refused where it names others: what each client chooses for itself cannot be merged. Only where
   the plan names none does `lags` choose; without it, lag 1 is looked at. Of finished edges, `lags`
   says which were looked at, which may be fewer.
2. The result says what was read, and what is left out: columns that are no variables, variables
   that are not measured here, lags of the plan that were not looked at, edges that the policy holds
   back.
3. In a round of statistics no engine runs: the moments of the rows are what leaves
   (`client.moments`).
4. `discover_here` is the same run without a round: every edge, in the data's own units.

What it does not do: it does not print or send (`submit`, `night`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hyperfed.client.moments import found_statistics
from hyperfed.client.own_engine import own_engine
from hyperfed.client.sources import Source
from hyperfed.errors import ConfigError, EngineError, HyperfedError

if TYPE_CHECKING:
    from hyperfed.engines import Discovery, Engine, Series
    from hyperfed.engines.resampling import Progress
    from hyperfed.packets import Knowledge, Update
    from hyperfed.protocol.objects import Plan
    from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["Found", "discover", "discover_here", "find", "listed_lags", "read_data"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Holds what was found, and what people should know about it before it is sent."""

    update: "Update"
    """The update that may be sent."""
    round: int
    """The round that the update is for."""
    measured: tuple[str, ...]
    """The variables of the round that this client measured."""
    not_measured: tuple[str, ...]
    """The variables of the round that this client did not find in its data."""
    lags: tuple[int, ...]
    """The lags that were looked at."""
    lags_not_looked_at: tuple[int, ...]
    """The lags of the plan that were not looked at; this client has no vote there."""
    columns_left_out: tuple[str, ...]
    """The columns of the data that are no variables of the round."""
    time: str | None
    """The column that holds the rows' times, or None."""
    read: Mapping[str, Any] | None
    """What was read of the data: rows, period, columns, missing cells, units; None for edges."""
    edges_shared: int
    """The number of edges in the update that vote."""
    edges_estimated: int
    """The number of edges in the update that carry an estimate and its interval, and no vote."""
    edges_held_back: int
    """The number of edges that the policy holds back."""
    statistics: Mapping[str, Any] | None = None
    """What the statistics in the update come to, or None where it has none."""
    notes: tuple[str, ...] = ()
    """What was odd about the data, as sentences."""

    @property
    def document(self) -> dict[str, Any]:
        """The fields that a command prints, without the update itself."""
        names = (
            "round",
            "measured",
            "not_measured",
            "lags",
            "lags_not_looked_at",
            "columns_left_out",
            "time",
            "read",
            "edges_shared",
            "edges_estimated",
            "edges_held_back",
            "statistics",
            "notes",
        )
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """Holds an engine over its data, and what was left out of them."""

    engine: "Engine"
    series: "Series | None" = None


def discover(
    source: Source, plan: "Plan", client_id: str, *, progress: "Progress | None" = None
) -> Found:
    """Run the source's engine and keep what the plan allows to be shared.

    `progress` is called with how far the engine's resamples are.

    Raises ConfigError, EngineError.
    """
    if plan.policy.payload == "statistics":
        return found_statistics(source, plan)
    opened = _open(source, plan, progress)
    found = find(
        opened.engine,
        plan,
        client_id,
        series=opened.series,
        name=source.engine,
        intervened=source.intervened,
    )
    if plan.policy.payload == "edges":
        return found
    return found_statistics(source, plan, beside=found)


def discover_here(
    source: Source, *, knowledge: "Knowledge | None" = None, progress: "Progress | None" = None
) -> "tuple[Discovery, Series | None]":
    """Run the source's engine on all its data, for no round. Returns the data that were read, too.

    Edges into what an experiment set are left out, as they are for a round. `knowledge` is what is
    known of the graph.

    Raises ConfigError, EngineError.
    """
    if source.edges is not None:
        raise ConfigError(
            "finished edges are discovered already",
            subject="--edges",
            remedy="Give them to `hyperfed submit`",
        )
    from hyperfed.client_agent import discovered

    if source.kind == "engine" and source.engine is not None:
        if knowledge is not None:
            raise ConfigError(
                "reaches no engine of your own",
                subject="--knowledge",
                remedy="Set it in the factory of your own engine",
            )
        plugin = own_engine(source.engine, source.file, source.folder, ())
        opened = _Opened(engine=plugin)
    else:
        opened = _by_name(source, None, progress, knowledge)
    engine = opened.engine
    discovery = _run(lambda: discovered(engine, source.intervened), source.engine or "var")
    return discovery, opened.series


def _run(call: Any, name: str) -> Any:
    """Call an engine. Raises EngineError, which names it where it breaks."""
    try:
        return call()
    except HyperfedError:
        raise
    except Exception as exc:
        raise EngineError(
            f"failed: {type(exc).__name__}: {exc}",
            subject=f"engine {name}",
            remedy="Run the command with --debug to see its traceback",
        ) from exc


def find(
    engine: "Engine",
    plan: "Plan",
    client_id: str,
    *,
    series: "Series | None" = None,
    name: str | None = None,
    intervened: Sequence[str] = (),
) -> Found:
    """Run an engine and keep what the plan allows to be shared.

    `series` are the data that were read for it, `name` is what errors call it, and `intervened` are
    the variables that an experiment set.

    Raises EngineError, which names the engine where it breaks.
    """
    from hyperfed.client_agent import FederationClientAgent

    agent = FederationClientAgent(
        engine,
        client_id,
        policy=plan.policy,
        vocabulary=plan.vocabulary,
        intervened=intervened,
    )
    update = _run(agent.get_shareable_update, name or type(engine).__name__)
    names, looked_at = plan.vocabulary.names, update.lags or ()
    measured = tuple(names[int(i)] for i in update.measured)
    shared, edges_found = (
        len(update.edges or ()),
        len(agent.local.edges) if agent.local is not None else 0,
    )
    # in a private round every row counts, and none is an estimate
    voting = (
        shared
        if update.edges is None or plan.policy.privacy != "none"
        else int(((update.edges.confidence > 0) | (update.edges.stability > 0)).sum())
    )
    return Found(
        update=update,
        round=plan.round,
        measured=measured,
        not_measured=tuple(one for one in names if one not in set(measured)),
        lags=looked_at,
        lags_not_looked_at=tuple(lag for lag in plan.policy.lags if lag not in looked_at),
        columns_left_out=series.left_out if series else (),
        time=series.time if series else None,
        read=series.document if series else None,
        edges_shared=voting,
        edges_estimated=shared - voting,
        edges_held_back=edges_found - shared,
        notes=(*(series.notes if series else ()), *agent.notes),
    )


def _open(source: Source, plan: "Plan", progress: "Progress | None") -> _Opened:
    """Return the engine of a source, over its data. Raises ConfigError, EngineError."""
    from hyperfed.engines.readers.edges_csv import EdgesFile

    if source.kind == "engine" and source.engine is not None:
        return _Opened(
            engine=own_engine(source.engine, source.file, source.folder, plan.policy.lags)
        )
    if source.edges is not None:
        if source.lags is not None and not set(source.lags) <= set(plan.policy.allowed_lags):
            raise _other_lags(source.lags, plan)
        file = EdgesFile(
            source.edges,
            variables=plan.vocabulary,
            measured=source.measured,
            lags=source.lags,
            form=source.form,
            units=source.units,
        )
        return _Opened(engine=file)
    return _by_name(source, plan, progress, plan.policy.knowledge)


def _by_name(
    source: Source,
    plan: "Plan | None",
    progress: "Progress | None",
    knowledge: "Knowledge | None",
) -> _Opened:
    """Return the engine that a source names, over its data; by default the built-in one.

    Raises ConfigError, EngineError.
    """
    from hyperfed.engines.catalogue import AUTO, choose, make_engine

    name, kind, notes = source.engine or "var", source.kind, []
    vocabulary = None if plan is None else plan.vocabulary
    if name == AUTO:
        # where no column tells the time, and nobody says that rows are steps, they are a table
        series = read_data(replace(source, series=True), vocabulary)
        timed = source.series or series.clock.column is not None
        kind = "series" if timed else "table"
        choice = choose(kind, series.values, series.names)
        name = choice.name
        notes.append(f"engine {name}: {choice.why}")
        lags = _lags(name, kind, source.lags, plan)
    else:
        lags = _lags(name, kind, source.lags, plan)
        series = read_data(source, vocabulary)
    options: dict[str, Any] = {
        "lags": lags,
        "knowledge": knowledge,
        "n_bootstrap": source.bootstraps,
        "rng": source.seed,
        "progress": progress,
    }
    engine = make_engine(name, series.values, series.names, options)
    looked_at = getattr(engine, "looked_at", None)
    if looked_at is not None and (beyond := lags[len(looked_at()) :]):
        rows, columns = series.values.shape
        notes.append(
            f"{rows} rows of {columns} columns are too few for lag {listed_lags(beyond)}: "
            "there you have no vote"
        )
    return _Opened(engine=engine, series=replace(series, notes=(*series.notes, *notes)))


def read_data(source: Source, vocabulary: "Vocabulary | None") -> "Series":
    """Return the series or table that a source names, with a vocabulary's variables or all.

    Raises ConfigError, EngineError.
    """
    from hyperfed.engines import read_series, read_table

    if source.file is None:
        raise ConfigError("no data are given", subject="source")
    if source.kind == "table":
        return read_table(
            source.file,
            variables=vocabulary,
            columns=source.columns,
            form=source.form,
            units=source.units,
        )
    return read_series(
        source.file,
        variables=vocabulary,
        columns=source.columns,
        timing=source.timing,
        form=source.form,
        units=source.units,
    )


def _lags(
    name: str, kind: str, given: tuple[int, ...] | None, plan: "Plan | None"
) -> tuple[int, ...]:
    """Return the lags that an engine looks at (rule 1 of the module).

    An engine for tables looks at lag 0 alone, and the built-in one at none: it looks from earlier
    rows to later ones. Raises ConfigError where other lags are given than the plan names, or none
    is left.
    """
    able = {0} if kind == "table" else None
    if name == "var":
        wanted = tuple(lag for lag in given or (1,) if lag > 0)
    else:
        wanted = (0,) if kind == "table" else given or (0, 1)
    if plan is None:
        if given is not None and not {*wanted} & {*given}:
            raise ConfigError(
                f"says {listed_lags(given)}, where engine {name} cannot look",
                subject="--lags, or [data] lags",
                remedy=(
                    "Name other lags: an engine for tables looks at lag 0 alone, and the "
                    "built-in one at lags above 0"
                ),
            )
        return wanted
    named = plan.policy.lags
    if given is not None and (
        {*given} - {0} != {*named} - {0} if named else not {*given} <= {*plan.policy.allowed_lags}
    ):
        raise _other_lags(given, plan)
    lags = tuple(
        lag
        for lag in named or wanted
        if (able is None or lag in able) and not (name == "var" and lag == 0)
    )
    if not lags:
        problem, remedy = (
            ("looks at no lag 0, and an engine for tables finds what acts within a row", "lag 0")
            if kind == "table"
            else (
                "looks at lag 0 alone, and the built-in engine looks from earlier rows to later "
                "ones",
                "lags above 0",
            )
        )
        raise ConfigError(
            problem,
            subject=f"plan of round {plan.round}",
            remedy=f"Use another engine (--engine) or finished edges (--edges); or ask the "
            f"operator for {remedy}",
        )
    return lags


def _other_lags(stated_lags: tuple[int, ...], plan: "Plan") -> ConfigError:
    """Return the error for lags that are not those of the plan."""
    policy = plan.policy
    plan_lags = listed_lags(policy.lags) if policy.lags else f"up to {policy.max_lag}"
    return ConfigError(
        f"says {listed_lags(stated_lags)}, and the plan of round {plan.round} says {plan_lags}",
        subject="--lags, or [data] lags",
        remedy="Leave it out: everybody looks at the plan's lags",
    )


def listed_lags(lags: tuple[int, ...]) -> str:
    """Return lags as people write them: "0, 1, 2"."""
    return ", ".join(map(str, lags))
