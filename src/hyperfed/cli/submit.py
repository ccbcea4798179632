"""`hyperfed submit`: discover on the client's data, and send what the policy lets be shared.

1. The plan of the round comes first: its vocabulary says which variables count, its policy what may leave the house.
2. --dry-run shows everything that would leave, and writes nothing, neither to the drop-box nor to the client's memory. In a round of local noise it shows
   what would be noised and by how much; no noise is drawn, for what is drawn is charged.
3. What is left out is said: columns that the round does not speak about, variables that are not measured here, rows that the policy holds back.
"""

import csv
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.invocation import Invocation, client_options, output_options, pass_invocation, setting_option, store_options
from hyperfed.cli.output import instant, listed, show_pairs, show_table
from hyperfed.errors import ConfigError, EngineError, HyperfedError

if TYPE_CHECKING:
    from rich.console import Console

    from hyperfed.client import ClientSession, Submitted
    from hyperfed.dropbox import Stored
    from hyperfed.engines import Engine
    from hyperfed.packets import Update
    from hyperfed.protocol.objects import Plan

__all__ = ["submit"]

_FILE = click.Path(path_type=Path)
_SHOWN_ROWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the edges come from. data: a time series; edges: a file of finished edges; factory: the user's own engine."""

    data: Path | None
    edges: Path | None
    factory: str | None
    columns: tuple[str, ...] | None
    measured: tuple[str, ...] | None
    max_lag: int
    bootstraps: int
    seed: int

    def __post_init__(self) -> None:
        if self.edges is not None and (self.data is not None or self.factory is not None):
            raise ConfigError("--edges goes without --data and --engine", subject="submit", remedy="Finished edges need no engine")
        if self.edges is None and self.data is None and self.factory is None:
            raise ConfigError("nothing to submit", subject="submit", remedy="Give --data FILE.csv, --edges FILE.csv, or --engine module:factory")


@click.command()
@click.option("--data", type=_FILE, help="Time series as CSV: a header line, one row a time step, oldest first.")
@click.option("--columns", metavar="A,B,...", help="The columns to use; by default those that the round's vocabulary names.")
@click.option("--max-lag", type=click.IntRange(min=1), default=1, show_default=True, help="Longest lag the built-in engine tries.")
@click.option("--bootstraps", type=click.IntRange(min=1), default=100, show_default=True, help="Resamples behind the stability.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the resampling.")
@click.option(
    "--engine", "factory", metavar="MODULE:FACTORY", help="Your own engine: FACTORY() or, with --data, FACTORY(path) returns an object with discover()."
)
@click.option("--edges", type=_FILE, help="Finished edges as CSV: source, target, lag, effect, confidence, stability [, hits, n, ci_low, ci_high].")
@click.option("--measured", metavar="A,B,...", help="With --edges: all variables you measured, also those without an edge.")
@setting_option(
    "--record-bound",
    setting="client.record_bound",
    type=click.FloatRange(min=0, min_open=True),
    help="How far one of your records may move your effects (L2): what you attest where the federation protects records.",
)
@click.option("--dry-run", is_flag=True, help="Show exactly what would leave the house, and send nothing.")
@client_options
@store_options
@output_options
@pass_invocation
def submit(
    invocation: Invocation,
    data: Path | None,
    columns: str | None,
    max_lag: int,
    bootstraps: int,
    seed: int,
    factory: str | None,
    edges: Path | None,
    measured: str | None,
    dry_run: bool,
) -> None:
    """Discover on your data and send what may be shared to the open round, signed with your key and sealed to the coordinator.

    Your data stay here. A second submit in the same round corrects the first; up to three corrections are taken. In a round of local noise your update is
    noised before it leaves, and there is one a round.

    \b
      hyperfed submit --data series.csv
      hyperfed submit --data series.csv --columns output,employment --max-lag 4 --dry-run
      hyperfed submit --edges edges.csv --measured output,employment,unemployment
      hyperfed submit --data series.csv --engine my_package.discovery:make_engine
    """
    from hyperfed.client_agent import FederationClientAgent

    source = Source(
        data=data,
        edges=edges,
        factory=factory,
        columns=_names(columns),
        measured=_names(measured),
        max_lag=max_lag,
        bootstraps=bootstraps,
        seed=seed,
    )
    with invocation.out.step("Reading the round's plan"):
        session = invocation.session(signing=not dry_run)
        plan = session.plan_at(invocation.now)
    engine, left_out = _engine(source, plan.value)
    agent = FederationClientAgent(engine, session.client_id, policy=plan.value.policy, vocabulary=plan.value.vocabulary)
    with invocation.out.step("Discovering"):
        update = _discover(agent, source)
    story = _story(update, agent, plan.value, left_out)
    if dry_run:
        _show_dry_run(invocation, session, update, plan, story)
        return
    with invocation.out.step("Signing, sealing and sending"):
        sent = session.submit(update, now=invocation.now, plan=plan)
    _show_sent(invocation, session, sent, plan.value, story)


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


def _engine(source: Source, plan: "Plan") -> "tuple[Engine, list[str]]":
    """(engine, columns of the data that are left out). Raises ConfigError, EngineError."""
    from hyperfed.cli.edges_csv import EdgesFile
    from hyperfed.engines import VarEngine, read_csv

    known = plan.vocabulary.names
    if source.edges is not None:
        return EdgesFile(source.edges, variables=known, measured=source.measured), []
    if source.factory is not None:
        return _user_engine(source.factory, source.data), []
    if source.data is None:
        raise ConfigError("nothing to submit", subject="submit")
    for name in source.columns or ():
        if name not in known:
            raise EngineError("unknown variable", subject=f"--columns {name!r:.80}", remedy=f"The round's vocabulary has: {listed(known)}")
    header = _header(source.data)
    columns = source.columns or tuple(name for name in header if name in known)
    if not columns:
        raise EngineError(
            "no column is a variable of the round",
            subject=str(source.data),
            remedy=f"It has: {listed(header)}; the round's vocabulary has: {listed(known)}",
        )
    names, values = read_csv(source.data, columns=columns)
    engine = VarEngine(values, names, max_lag=min(source.max_lag, max(1, plan.policy.max_lag)), n_bootstrap=source.bootstraps, rng=source.seed)
    return engine, [name for name in header if name not in columns]


def _header(path: Path) -> list[str]:
    """The names in line 1; what is wrong with the file is `read_csv`'s to say."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return [name.strip() for name in next(csv.reader(stream), [])]
    except OSError as exc:
        raise ConfigError(f"cannot be read: {exc.strerror}", subject=str(path), remedy="Check the path and its permissions") from exc
    except (UnicodeDecodeError, csv.Error) as exc:
        raise EngineError("is not a CSV file in UTF-8", subject=str(path), remedy="Save the series as CSV, UTF-8") from exc


def _user_engine(factory: str, data: Path | None) -> "Engine":
    """The object that the user's factory makes. Raises ConfigError where it cannot be found, EngineError where it fails."""
    module, _, attribute = factory.partition(":")
    subject = f"--engine {factory!r:.120}"
    if not module or not attribute:
        raise ConfigError("not MODULE:FACTORY", subject=subject, remedy="Write it as my_package.my_module:make_engine")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        make: Any = importlib.import_module(module)
        for part in attribute.split("."):
            make = getattr(make, part)
    except (ImportError, AttributeError) as exc:
        raise ConfigError(f"cannot be imported: {exc}", subject=subject, remedy="Run it where Python finds the module, or set PYTHONPATH") from exc
    try:
        engine: Engine = make() if data is None else make(os.fspath(data))
    except HyperfedError:
        raise
    except Exception as exc:
        raise EngineError(f"failed: {type(exc).__name__}: {exc}", subject=subject, remedy="--debug shows its traceback") from exc
    return engine


def _discover(agent: Any, source: Source) -> "Update":
    try:
        update: Update = agent.get_shareable_update()
    except HyperfedError:
        raise
    except Exception as exc:
        raise EngineError(
            f"failed: {type(exc).__name__}: {exc}", subject=f"engine {source.factory or type(agent.engine).__name__}", remedy="--debug shows its traceback"
        ) from exc
    return update


def _story(update: "Update", agent: Any, plan: "Plan", left_out: Sequence[str]) -> dict[str, Any]:
    """What people should know about an update before it leaves."""
    names = plan.vocabulary.names
    shared, found = len(update.edges or ()), len(agent.local.edges)
    measured = [names[int(i)] for i in update.measured]
    return {
        "round": plan.round,
        "measured": measured,
        "not_measured": [name for name in names if name not in set(measured)],
        "columns_left_out": list(left_out),
        "edges_shared": shared,
        "edges_held_back": found - shared,
    }


def _story_pairs(story: dict[str, Any]) -> dict[str, Any]:
    pairs = {"Measured": listed(story["measured"])}
    if story["not_measured"]:
        pairs["Not measured here"] = listed(story["not_measured"])
    if story["columns_left_out"]:
        pairs["Columns left out"] = listed(story["columns_left_out"])
    return pairs | {"Edges": f"{story['edges_shared']} shared, {story['edges_held_back']} held back as the policy says"}


def _noise(session: "ClientSession", plan: "Plan") -> dict[str, Any] | None:
    """What local noise does to this update; None in other rounds. Raises PrivacyError where the policy cannot be kept."""
    from hyperfed.privacy.policy import night_of
    from hyperfed.privacy.slots import slot_count

    night = night_of(plan.policy, plan.vocabulary, session.reader.registry.budget) if plan.policy.privacy == "local" else None
    if night is None:
        return None
    values = slot_count(len(plan.vocabulary), plan.policy.max_lag)
    return {
        "unit": night.mechanism.unit,
        "values": values,
        "std": night.noise_std,
        "clip_norm": night.clip_norm,
        "epsilon": night.epsilon,
        "delta": night.delta,
    }


def _noise_pairs(noise: dict[str, Any] | None) -> dict[str, Any]:
    if noise is None:
        return {}
    return {
        "Noise": f"added here: one value for each of the {noise['values']} possible edges, found or not, clipped to norm {noise['clip_norm']:g}, with noise of "
        f"standard deviation {noise['std']:.3g}; no counts, intervals or anything else",
        "Costs": f"epsilon {noise['epsilon']} and delta {noise['delta']} of your own budget, for one {noise['unit']}; one message a round",
    }


def _show_sent(invocation: Invocation, session: "ClientSession", sent: "Submitted", plan: "Plan", story: dict[str, Any]) -> None:
    noise = _noise(session, plan)
    document = {"key": sent.key, "sequence": sent.sequence, "digest": sent.digest, "bytes": sent.size, "deadline": plan.deadline, "noise": noise, **story}
    pairs = _noise_pairs(noise)
    if noise is not None:
        spent = session.memory.privacy_guard(session.reader.registry.budget).accountant
        document["own_budget_spent_share"] = spent.share
        pairs["Own budget"] = f"{100 * spent.share:.2f} % spent after this, {100 * (1 - spent.share):.2f} % left"
    invocation.out.finish(
        document,
        lambda to: show_pairs(
            to,
            {
                "Sent": f"update {sent.sequence} for round {sent.round}, {sent.size} bytes, to {sent.key}",
                **_story_pairs(story),
                **pairs,
                "Next": f"the round is counted after {instant(plan.deadline)}; then `hyperfed status` says what became of it",
            },
        ),
    )


def _show_dry_run(invocation: Invocation, session: "ClientSession", update: "Update", plan: "Stored[Plan]", story: dict[str, Any]) -> None:
    """Everything that would leave, read back from the very bytes that would be signed."""
    from hyperfed.codec import PayloadCodec
    from hyperfed.packets import Update

    policy, names, noise = plan.value.policy, plan.value.vocabulary.names, _noise(session, plan.value)
    update = session.attested(update, plan.value)
    session.check(update, plan.value)
    body = PayloadCodec(compression="zstd").encode(update)
    leaving = PayloadCodec().decode(body, Update)
    rows: list[dict[str, Any]] = [
        {**row, "source": names[int(row["source"])], "target": names[int(row["target"])]} for row in (leaving.edges.rows() if leaving.edges else ())
    ]
    rows.sort(key=lambda row: -row["confidence"] * row["stability"])
    sealed_to = [keys.key_id for keys in session.reader.registry.sealing_keys(plan.value.round)] if policy.sealed else []
    in_clear = [
        *("federation", "round", "client id", "key id", "audience", "sequence", "nonce", "creation and expiry", "body length"),
        "digests of policy, vocabulary, body, your previous update, the last broadcast and the ledger entry you saw",
    ]
    document = {
        "dry_run": True,
        **story,
        "client_id": session.client_id,
        "federation": plan.value.federation,
        "deadline": plan.value.deadline,
        "body_bytes": len(body) if noise is None else None,
        "noise": noise,
        "sealed_to": sealed_to,
        "header_in_clear": in_clear,
        "edges": rows,
        "claims": leaving.claims,
        "semantic": leaving.semantic,
    }

    def render(to: "Console") -> None:
        shown = ("source", "target", "lag", "effect", "confidence", "stability", "hits", "n")
        what = "What would leave the house" if noise is None else "Before the noise that is added as it leaves"
        title = f"{what}: {len(rows)} edges" + (f", the strongest {_SHOWN_ROWS} of them (--json shows all)" if len(rows) > _SHOWN_ROWS else "")
        show_table(to, title, shown, ([row[name] for name in shown] for row in rows[:_SHOWN_ROWS]), right=shown[2:])
        show_pairs(
            to,
            {
                "For": f"round {plan.value.round} of federation {plan.value.federation}, open until {instant(plan.value.deadline)}",
                **_story_pairs(story),
                **_noise_pairs(noise),
                "Body": (f"{len(body)} bytes, " if noise is None else "")
                + (f"sealed to key {', '.join(sealed_to)}" if sealed_to else "NOT sealed: whoever reads the bucket reads it"),
                "In clear": ", ".join(in_clear),
                "Sent": "nothing: this was a dry run",
            },
        )

    invocation.out.finish(document, render)
