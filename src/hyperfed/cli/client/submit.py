"""Implement `hyperfed submit`: discover on the client's data, and send what the policy allows.

1. The plan of the round comes first. Its vocabulary says which variables count, and its policy says
   what may leave the house.
2. --dry-run shows everything that would leave. It writes nothing, neither to the drop-box nor to
   the client's memory. In a round of local noise it shows what would be noised and by how much. It
   draws no noise, because drawn noise is charged.
3. It says what was read (rows, period, missing values, units) and what is left out: columns that
   the round does not use, variables that are not measured here, and rows that the policy or the
   client's own rules hold back.

What it does not do: read data or run engines (`client.finding`).
"""

from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.client.data_shown import (
    leaving_beside_edges,
    read_pairs,
    told_beside_edges,
)
from hyperfed.cli.client.source_options import source_options
from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.moments_shown import moments_shown
from hyperfed.cli.options import (
    client_options,
    output_options,
    round_option,
    setting_option,
    store_options,
)
from hyperfed.cli.output import instant, listed, show_pairs, show_table
from hyperfed.client.finding import discover, listed_lags
from hyperfed.client.moments import statistics_words
from hyperfed.client.sources import given_source, read_source
from hyperfed.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from hyperfed.client import ClientSession, Submitted
    from hyperfed.dropbox.reader import Stored
    from hyperfed.packets import PolicyPack, Update
    from hyperfed.protocol.objects import Plan

__all__ = ["submit"]

_SHOWN_ROWS = 20


@click.command(cls=Command)
@source_options
@setting_option(
    "--record-bound",
    setting="client.record_bound",
    type=click.FloatRange(min=0, min_open=True),
    help="How far one of your records may move your effects (L2). You attest this if the "
    "federation protects records.",
)
@round_option
@click.option("--dry-run", is_flag=True, help="Show exactly what would be sent, and send nothing.")
@client_options
@store_options
@output_options
@pass_invocation
def submit(invocation: Invocation, round_id: int | None, dry_run: bool) -> None:
    """Discover edges in your data, and send what may be shared to the open round.

    The update is signed with your key and sealed to the coordinator; your data stay here. A second
    submit in the same round corrects the first; up to three corrections are accepted. In a round of
    local noise, your update gets its noise before it leaves, and only one is accepted.

    \b
      hyperfed submit --data series.csv                       (with a column of dates, oldest first)
      hyperfed submit --data series.csv --series              (without: rows are time steps)
      hyperfed submit --data series.csv --columns output,employment --dry-run
      hyperfed submit --edges edges.csv --measured output,employment,unemployment
      hyperfed submit --data patients.csv --engine pc         (a table: rows of any order)
      hyperfed submit --data series.csv --engine my_package.discovery:make_engine
      hyperfed submit --round 328 --data series.csv
    """
    source = read_source(invocation.settings, given_source(invocation.options))
    if source is None:
        raise ConfigError(
            "nothing to submit",
            subject="submit",
            remedy="Give --data FILE.csv, --edges FILE.csv, or --engine module:factory",
        )
    with invocation.out.step("Reading the round's plan"):
        session = invocation.session(signing=not dry_run)
        plan = session.plan_at(invocation.now, round_id)
    with invocation.out.long_step("Discovering") as progress:
        discovery = discover(source, plan.value, session.client_id, progress=progress)
    update, story = discovery.update, discovery.document
    for note in discovery.notes:
        invocation.out.note(note)
    for name in session.sharing.unknown(plan.value.vocabulary):
        invocation.out.note(
            f"[sharing] never names {name!r:.80}, which is no variable of this round: it holds "
            "nothing back here"
        )
    if dry_run:
        _show_dry_run(invocation, session, update, plan, story)
        return
    with invocation.out.step("Signing, sealing and sending"):
        next_round = session.sent_later(plan.value.round, now=invocation.now)
        sent = session.submit(update, now=invocation.now, plan=plan)
    _show_sent(invocation, session, sent, plan.value, story, next_round)


def _story_pairs(story: dict[str, Any]) -> dict[str, Any]:
    pairs = read_pairs(story["read"]) | {"Measured": listed(story["measured"])}
    if story["not_measured"]:
        pairs["Not measured here"] = listed(story["not_measured"])
    pairs["Lags"] = listed_lags(story["lags"]) or "none"
    if story["lags_not_looked_at"]:
        pairs["Lags"] += f"; not {listed_lags(story['lags_not_looked_at'])}, where you have no vote"
    if story["columns_left_out"]:
        pairs["Columns left out"] = listed(story["columns_left_out"])
    if story["statistics"] is not None:
        pairs |= statistics_words(story["statistics"])
        if not story["edges_shared"] + story["edges_held_back"]:
            return pairs
    return pairs | {
        "Edges": f"{story['edges_shared']} shared, {story['edges_estimated']} as estimates without "
        f"a vote, {story['edges_held_back']} held back, as the policy says"
    }


def _policy(policy: "PolicyPack") -> dict[str, Any]:
    """Return what the round's policy lets out, by field."""
    names = ("g_min", "stability_min", "n_proposals", "show_clients")
    return {name: getattr(policy, name) for name in names}


def _shown_to_members(policy: "PolicyPack") -> dict[str, str]:
    """Return that members will see the client's estimates, where the plan says so."""
    if not policy.show_clients:
        return {}
    return {"Members will see": "your own estimates of the model's edges, under a pseudonym"}


def _own_rules(session: "ClientSession", held_back: int) -> str:
    """Return the client's own rules, and how much they hold back, as a sentence."""
    says = session.sharing.says
    if not says:
        return "none ([sharing] in hyperfed.toml)"
    return f"{'; '.join(says)}: {held_back} more edge{'s' * (held_back != 1)} held back"


def _told_as_measured(document: dict[str, Any]) -> dict[str, str]:
    """Return which variables the federation learns that you measure, where it is not all."""
    told = document["told_as_measured"]
    return {} if set(told) == set(document["measured"]) else {"Told as measured": listed(told)}


def _noise(session: "ClientSession", plan: "Plan") -> dict[str, Any] | None:
    """Return what the client's own noise does to this update, or None where it adds none.

    Raises PrivacyError where the policy cannot be kept.
    """
    from hyperfed.privacy.moments import moment_count
    from hyperfed.privacy.policy import release_of
    from hyperfed.privacy.slots import slot_count

    night = (
        release_of(plan.policy, plan.vocabulary, session.reader.registry.budget)
        if plan.policy.noised_by_clients
        else None
    )
    if night is None:
        return None
    moments = plan.policy.payload != "edges"
    values = (
        moment_count(len(plan.vocabulary), plan.policy.lags)
        if moments
        else slot_count(len(plan.vocabulary), plan.policy.allowed_lags)
    )
    return {
        "of": "moments" if moments else "edges",
        "shares": plan.policy.noise_shares,
        "unit": night.mechanism.unit,
        "values": values,
        "std": night.noise_std,
        "clip_norm": plan.policy.statistics.row_norm if moments else night.clip_norm,
        "epsilon": night.epsilon,
        "delta": night.delta,
    }


def _masks(session: "ClientSession", plan: "Stored[Plan]") -> str:
    """Return in words what masks do to this update, or "" where messages are seen."""
    from hyperfed.client.masked import masks_in_words
    from hyperfed.dropbox.openings import OpeningReader
    from hyperfed.secure_aggregation.statistics_vector import numbers_of

    if plan.value.policy.aggregation != "secure-sum":
        return ""
    openings = OpeningReader(session.reader, plan)
    here = openings.helper_keys()
    missing = [helper for helper in openings.group.helpers if helper not in here]
    said = masks_in_words(openings.group, numbers_of(plan.value), missing)
    if openings.sealed:
        said += ". The sum is sealed to coordinators and auditors, and shown with noise"
    return said


def _noise_pairs(noise: dict[str, Any] | None) -> dict[str, Any]:
    if noise is None:
        return {}
    if noise["of"] == "moments":
        said = (
            f"added here, to each of the {noise['values']} sums of products of rows clipped to "
            f"norm {noise['clip_norm']:g}: standard deviation {noise['std']:.3g}"
        )
    else:
        said = (
            f"added here: one value for each of the {noise['values']} possible edges, "
            f"found or not, clipped to norm {noise['clip_norm']:g}, with noise of "
            f"standard deviation {noise['std']:.3g}; no counts, intervals or anything else"
        )
    if noise["shares"]:
        said += f"; a share of the sum's noise, which counts on {noise['shares']} other clients"
    return {
        "Noise": said,
        "Costs": f"epsilon {noise['epsilon']} and delta {noise['delta']} of your own budget, "
        f"for one {noise['unit']}; one message a round",
    }


def _show_sent(
    invocation: Invocation,
    session: "ClientSession",
    sent: "Submitted",
    plan: "Plan",
    story: dict[str, Any],
    again: int | None,
) -> None:
    """Show what was sent.

    `again` is the running round, where an update lies that must be sent again after this one for an
    earlier round; otherwise it is None.
    """
    noise = _noise(session, plan)
    document = {
        "key": sent.key,
        "sequence": sent.sequence,
        "digest": sent.digest,
        "bytes": sent.size,
        "deadline": plan.deadline,
        "noise": noise,
        **story,
    }
    document |= {"close_by": plan.close_by, "send_again_for": again}
    pairs = _noise_pairs(noise)
    following = (
        f"the round is counted after {instant(plan.deadline)}; then `hyperfed status` "
        "says what became of it"
    )
    if invocation.now >= plan.deadline:
        following = (
            f"tell the operator, who runs `hyperfed round retry {plan.round}` before "
            f"{instant(plan.close_by)}"
        )
    if again is not None:
        pairs["Send again"] = (
            f"your update for round {again} lies there since before this one, and would be "
            f"refused (R-89): submit for round {again} again"
        )
    if noise is not None:
        spent = session.memory.privacy_guard(session.reader.registry.budget).accountant
        document["own_budget_spent_share"] = spent.share
        pairs["Own budget"] = (
            f"{100 * spent.share:.2f} % spent after this, {100 * (1 - spent.share):.2f} % left"
        )
    invocation.out.finish(
        document,
        lambda to: show_pairs(
            to,
            {
                "Sent": f"update {sent.sequence} for round {sent.round}, {sent.size} bytes, to "
                f"{sent.key}",
                **_story_pairs(story),
                **pairs,
                "Next": following,
            },
        ),
    )


def _show_dry_run(
    invocation: Invocation,
    session: "ClientSession",
    update: "Update",
    plan: "Stored[Plan]",
    story: dict[str, Any],
) -> None:
    """Show everything that would leave, read back from the very bytes that would be signed."""
    from hyperfed.codec import PayloadCodec
    from hyperfed.packets import Update

    policy, names, noise = (
        plan.value.policy,
        plan.value.vocabulary.names,
        _noise(session, plan.value),
    )
    edges_found = len(update.edges or ())
    update = session.leaving(update, plan.value)
    session.check(update, plan.value)
    body = PayloadCodec(compression="zstd").encode(update)
    leaving = PayloadCodec().decode(body, Update)
    rows: list[dict[str, Any]] = [
        {**row, "source": names[int(row["source"])], "target": names[int(row["target"])]}
        for row in (leaving.edges.rows() if leaving.edges else ())
    ]
    rows.sort(key=lambda row: -row["confidence"] * row["stability"])
    beside = leaving_beside_edges(leaving, names)
    moments = (
        {}
        if leaving.statistics is None
        else moments_shown(leaving.statistics, plan.value.vocabulary)
    )
    sealed_to = (
        [keys.key_id for keys in session.reader.registry.sealing_keys(plan.value.round)]
        if policy.sealed
        else []
    )
    in_clear = [
        *(
            "federation",
            "round",
            "client id",
            "key id",
            "audience",
            "sequence",
            "nonce",
            "creation and expiry",
            "body length",
        ),
        "digests of policy, vocabulary, body, your previous update, the last broadcast and the "
        "ledger entry you saw",
    ]
    document = {
        "dry_run": True,
        **story,
        "policy": _policy(policy),
        "own_rules": list(session.sharing.says),
        "own_rules_held_back": edges_found - len(update.edges or ()),
        "told_as_measured": [names[at] for at in leaving.measured.tolist()],
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
        **beside,
        **({"leaving_statistics": moments} if moments else {}),
    }

    masks = _masks(session, plan)
    document |= {"masks": masks} if masks else {}

    def render(to: "Console") -> None:
        shown = ("source", "target", "lag", "effect", "confidence", "stability", "hits", "n")
        what = (
            "What would leave the house"
            if noise is None
            else "Before the noise that is added as it leaves"
        )
        for name in ("variances", "correlations") if moments else ():
            _show_moments(to, f"{what}: {name}", moments[name])
        title = f"{what}: {len(rows)} edge{'s' * (len(rows) != 1)}" + (
            f", the strongest {_SHOWN_ROWS} of them (--json shows all)"
            if len(rows) > _SHOWN_ROWS
            else ""
        )
        if rows or not moments:
            show_table(
                to,
                title,
                shown,
                ([row[name] for name in shown] for row in rows[:_SHOWN_ROWS]),
                right=shown[2:],
            )
        show_pairs(
            to,
            {
                "For": f"round {plan.value.round} of federation {plan.value.federation}, open "
                f"until {instant(plan.value.deadline)}",
                **_story_pairs(story),
                "Policy of the round": ", ".join(f"{k} {v}" for k, v in _policy(policy).items()),
                **{title: listed(values) for title, values in told_beside_edges(beside).items()},
                "Your own rules": _own_rules(session, document["own_rules_held_back"]),
                **_told_as_measured(document),
                **_shown_to_members(policy),
                "Confidence": "1 - p of the sign: .50 on average where there is nothing, not 0",
                **_noise_pairs(noise),
                **({"Masks": masks} if masks else {}),
                "Body": (f"{len(body)} bytes, " if noise is None else "")
                + (
                    f"sealed to key {', '.join(sealed_to)}"
                    if sealed_to
                    else "NOT sealed: whoever reads the bucket reads it"
                ),
                "In clear": ", ".join(in_clear),
                "Sent": "nothing: this was a dry run",
            },
        )

    invocation.out.finish(document, render)


def _show_moments(to: "Console", title: str, rows: list[dict[str, Any]]) -> None:
    """Show rows of moments; the first of them where there are many."""
    columns = list(rows[0]) if rows else ["column"]
    more = f", {_SHOWN_ROWS} of {len(rows)} (--json shows all)" if len(rows) > _SHOWN_ROWS else ""
    numbers = [name for name in columns if name in ("variance", "correlation", "rows")]
    cells = ([row[name] for name in columns] for row in rows[:_SHOWN_ROWS])
    show_table(to, title + more, columns, cells, right=numbers)
