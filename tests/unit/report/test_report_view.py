"""The view of a round: what it says of committed, void, open and never-opened rounds is what the
drop-box holds, and a drop-box that lies is refused.
"""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from hyperfed.coordinator.reputation import excluded_of, trust_of
from hyperfed.coordinator.round_objects import draft_freeze
from hyperfed.crypto.envelope import PacketType
from hyperfed.errors import ConfigError, QuorumMissed, RoundError
from hyperfed.hypergraph.change import Turn
from hyperfed.packets import PolicyPack, Update
from hyperfed.protocol.documents import sign_object
from hyperfed.protocol.entries import (
    EntryKind,
    Mechanism,
)
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import (
    Plan,
)
from hyperfed.protocol.receipt_objects import (
    Fate,
)
from hyperfed.report import edge_rows, view_of
from hyperfed.report.rows import Outcome
from hyperfed.report.summary import headline, sentences, uncounted_rows
from hyperfed.storage.memory import MemoryStore
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit


def _flipped(update: Update) -> Update:
    assert update.edges is not None
    return replace(
        update,
        edges=replace(
            update.edges,
            effect=-update.edges.effect,
            ci_low=-update.edges.ci_high,
            ci_high=-update.edges.ci_low,
        ),
    )


def _edges(*rows: tuple[int, int, int, float, float]) -> EdgeTable:
    """rows: (source, target, lag, effect, confidence)."""
    columns = [np.array(c) for c in zip(*rows, strict=True)]
    names = ("source", "target", "lag", "effect", "confidence")
    return EdgeTable.build(**dict(zip(names, columns, strict=True)), stability=1.0, hits=5, n=50)


def test_a_committed_round_shows_model_trust_and_ledger_as_they_are() -> None:
    fed = SmallFederation(clients=6)
    fed.open()
    for client in fed.clients[:-1]:
        fed.submit(client)
    fed.submit(fed.clients[-1], _flipped(fed.update()))
    fed.run()
    reader = fed.reader()
    view, state, model = view_of(reader, 1), reader.state(1), reader.result(1)
    assert state is not None
    assert model is not None
    assert view.outcome is Outcome.COMMITTED
    assert [(e.source, e.target, e.vote, e.support) for e in view.edges] == [
        (r["source"], r["target"], r["vote"], r["support"]) for r in model.value.rows()
    ]
    assert view.edge_count == len(model.value.edges) == 3
    assert view.statement == model.value.statement
    assert {c.client for c in view.counted} == set(fed.clients)
    assert view.silenced == (fed.clients[-1],)
    for row in view.trust:
        known = state.value.of(row.client)
        assert known is not None
        assert (row.weight, row.agreement) == (known.weight, known.agreement)
        assert row.after == trust_of(state.value, row.client)
        assert row.before == pytest.approx(0.2)
        assert row.organisation == f"{row.client} ltd"
    assert view.trust[0].client == fed.clients[-1]
    assert [(e.sequence, e.kind) for e in view.ledger] == [
        (1, EntryKind.RESERVE),
        (2, EntryKind.COMMIT),
    ]
    assert dict(view.digests)["result"] == model.digest
    assert view.change is not None
    assert view.change.base_round == 0
    assert not view.change.any
    assert headline(view) == "Round 1 is committed: 6 of 6 clients counted, 3 edges"
    assert any(
        "No noise was added: nothing was spent, and no differential privacy is claimed" in s
        for s in sentences(view)
    )
    assert any(
        s.startswith("1 counted client does not agree") and fed.clients[-1] in s
        for s in sentences(view)
    )
    loud = replace(view, trust=(replace(view.trust[0], agreement=0.5), *view.trust[1:]))
    said = [s for s in sentences(loud) if fed.clients[-1] in s]
    assert said[0].startswith("1 counted client had no weight without contradicting the others")
    assert not any("not agree with the others" in s for s in said)


def test_everyone_of_the_cohort_is_in_exactly_one_place() -> None:
    fed = SmallFederation(clients=7)
    fed.play(1, but=["site-07"])
    fed.put(b"no update for an earlier round", "site-07", round_id=1)
    fed.open(2)
    fed.submit("site-01", round_id=2)
    fed.submit("site-02", round_id=2)
    fed.submit("site-03", round_id=2)
    fed.submit("site-06", round_id=2)
    fed.put(b"no update at all", "site-04", round_id=2)
    fed.run(2)
    fed.put(fed.envelope("site-05", round_id=2), "site-05", round_id=2)
    # a correction of what counts already
    fed.put(fed.envelope("site-01", round_id=2), "site-01", round_id=2, slot=1)
    view = view_of(fed.reader(), 2)
    assert [c.client for c in view.counted] == ["site-01", "site-02", "site-03", "site-06"]
    assert [r.key for r in view.refused] == [
        Keys.inbox(1, "site-07", 0),
        Keys.inbox(2, "site-04", 0),
    ]
    assert view.refused[0].reason
    assert view.late == ("site-05",)
    assert view.missing == ("site-07",)
    assert uncounted_rows(view) == [
        ("site-07", "missing", "no update"),
        ("site-05", "after the freeze", "may count in the next round"),
    ]
    fates = {row.client: row.fate for row in view.trust}
    assert fates["site-04"] is Fate.REFUSED
    assert fates["site-07"] is Fate.NOT_SEEN
    said = " ".join(sentences(view))
    assert "No update from 1 client: site-07." in said
    assert (
        "Arrived after it was decided who counts, and may count in the next round: site-05." in said
    )


def test_a_late_update_is_shown_with_its_staleness() -> None:
    fed = SmallFederation(clients=4)
    fed.open(1)
    fed.submit_all(but=["site-04"])
    fed.run(1)
    fed.put(fed.envelope("site-04", round_id=1), "site-04", round_id=1)
    fed.open(2)
    fed.submit_all(round_id=2, but=["site-04"])
    fed.run(2)
    fed.put(fed.envelope("site-04", round_id=2), "site-04", round_id=2)
    view = view_of(fed.reader(), 2)
    # counted by its old update; tonight's came too late
    assert (view.late, view.missing) == (("site-04",), ())
    (late,) = view.delayed
    assert (late.client, late.made_for, late.late) == ("site-04", 1, 1)
    assert late.staleness == pytest.approx(0.9)
    assert next(r for r in view.trust if r.client == "site-04").fate is Fate.LATE
    assert any("site-04 (by 1 round)" in s for s in sentences(view))


def test_change_names_new_gone_turned_stronger_and_weaker_edges() -> None:
    fed = SmallFederation(clients=3)
    tables = {
        1: _edges(
            (0, 1, 1, 1.0, 0.9),
            (1, 2, 1, 1.0, 0.5),
            (1, 3, 1, 1.0, 0.9),
            (2, 3, 1, 1.0, 0.5),
            (3, 0, 1, 1.0, 0.9),
        ),
        2: _edges(
            (0, 1, 1, 1.0, 0.9),
            (1, 2, 1, -1.0, 0.5),
            (1, 3, 1, 1.0, 0.5),
            (2, 3, 1, 1.0, 0.9),
            (0, 0, 2, 1.0, 0.9),
        ),
    }
    for round_id, table in tables.items():
        fed.open(round_id)
        for client in fed.clients:
            fed.submit(client, Update(measured=np.arange(4), edges=table), round_id=round_id)
        fed.run(round_id)
    change = view_of(fed.reader(), 2).change
    assert change is not None
    assert change.base_round == 1
    assert change.counts == {
        Turn.NEW: 1,
        Turn.GONE: 1,
        Turn.FLIPPED: 1,
        Turn.STRONGER: 1,
        Turn.WEAKER: 1,
        Turn.SAME: 1,
    }
    named = {e.turn: (e.source, e.target, e.lag, e.before, e.after) for e in change.edges}
    assert named[Turn.NEW] == ("heat", "heat", 2, None, pytest.approx(0.9))
    assert named[Turn.GONE] == ("faults", "heat", 1, pytest.approx(0.9), None)
    assert named[Turn.FLIPPED] == ("load", "wear", 1, pytest.approx(0.5), pytest.approx(-0.5))
    assert named[Turn.STRONGER] == ("wear", "faults", 1, pytest.approx(0.5), pytest.approx(0.9))
    assert named[Turn.WEAKER] == ("load", "faults", 1, pytest.approx(0.9), pytest.approx(0.5))
    assert (
        sentences(view_of(fed.reader(), 2))[0]
        == "Since round 1: 1 edge new, 1 gone, 1 sign changed, 1 stronger, 1 weaker."
    )


def test_change_compares_by_name_across_vocabularies() -> None:
    fed = SmallFederation(clients=3)
    fed.play(1)
    fed.vocabulary = Vocabulary.of("noise", "gauge", "wear", "load", "heat", version=2)
    # heat -> load, load -> wear, noise -> gauge
    table = _edges((4, 3, 1, 0.6, 0.72), (3, 2, 1, 0.6, 0.72), (0, 1, 1, 0.6, 0.72))
    fed.open(2)
    for client in fed.clients:
        fed.submit(client, Update(measured=np.arange(5), edges=table), round_id=2)
    fed.run(2)
    change = view_of(fed.reader(), 2).change
    assert change is not None
    assert [(e.source, e.target) for e in change.of(Turn.SAME)] == [
        ("heat", "load"),
        ("load", "wear"),
    ]
    assert [(e.source, e.target) for e in change.of(Turn.NEW)] == [("noise", "gauge")]
    assert [(e.source, e.target) for e in change.of(Turn.GONE)] == [("wear", "faults")]


def test_a_void_round_says_why_and_keeps_the_base() -> None:
    fed = SmallFederation(clients=4)
    fed.play(1)
    fed.open(2)
    fed.submit("site-01", round_id=2)
    with pytest.raises(QuorumMissed):
        fed.run(2)
    open_ = view_of(fed.reader(), 2)
    assert (open_.outcome, open_.arrived, open_.missing) == (
        Outcome.OPEN,
        ("site-01",),
        ("site-02", "site-03", "site-04"),
    )
    assert headline(open_) == "Round 2 is open: 1 of 4 updates are there"
    fed.run(2, now=open_.close_by)
    void = view_of(fed.reader(), 2)
    assert (void.outcome, void.rule, void.base_round, void.edges, void.change) == (
        Outcome.VOID,
        "R-62",
        1,
        (),
        None,
    )
    assert headline(void) == "Round 2 is void: too few updates before its close_by"
    assert "1 client had submitted, 3 were needed." in sentences(void)[0]
    assert [e.kind for e in void.ledger] == [EntryKind.VOID]
    assert {row.after for row in void.trust} == {None}
    assert all(row.before > 0.2 for row in void.trust)


def test_rounds_under_way_and_never_opened() -> None:
    fed = SmallFederation()
    fed.open()
    fed.submit_all()
    runner = fed.runner()
    runner.freeze(1, runner.validate(runner.collect(1)))
    frozen = view_of(fed.reader(), 1)
    assert (frozen.outcome, len(frozen.counted), frozen.ledger, frozen.change) == (
        Outcome.FROZEN,
        3,
        (),
        None,
    )
    fed.runner().release(1)
    released = view_of(fed.reader(), 1)
    assert (released.outcome, released.edges) == (Outcome.RELEASED, ())
    assert [e.kind for e in released.ledger] == [EntryKind.RESERVE]
    never = view_of(fed.reader(), 7)
    assert (never.outcome, never.opens, never.cohort) == (Outcome.NOT_OPENED, fed.opens(7), ())
    assert headline(never) == "Round 7 was never opened"
    with pytest.raises(ConfigError, match="no round 0"):
        view_of(fed.reader(), 0)


@pytest.mark.parametrize("name", ["freeze", "result", "state"])
def test_what_the_ledger_does_not_name_is_refused(name: str) -> None:
    """Another federation run by the same coordinator has validly signed objects of the same round:
    they must not be shown as this one's.
    """
    fed, other = SmallFederation(clients=4), SmallFederation(clients=4)
    fed.play()
    other.play(but=["site-02"])
    key = f"rounds/{1:08d}/{name}"
    swapped = MemoryStore()
    for k, data in fed.objects().items():
        swapped.put_if_absent(k, other.objects()[key] if k == key else data)
    fed.store = swapped
    with pytest.raises(RoundError, match="not the one that the ledger names") as caught:
        view_of(fed.reader(), 1)
    assert (caught.value.rule, caught.value.subject) == ("R-61", key)


def test_a_missing_base_is_refused_not_taken_for_the_first_round() -> None:
    fed = SmallFederation()
    fed.play(1)
    fed.play(2)
    kept = MemoryStore()
    for key, data in fed.objects().items():
        if key != Keys.result(1):
            kept.put_if_absent(key, data)
    fed.store = kept
    with pytest.raises(RoundError, match="not the result that the ledger names"):
        view_of(fed.reader(), 2)
    other = SmallFederation()
    other.play(1, but=["site-02"])
    kept.put_if_absent(Keys.result(1), other.objects()[Keys.result(1)])
    with pytest.raises(RoundError, match="not the result that the ledger names"):
        view_of(fed.reader(), 2)


def test_who_loses_its_weight_tonight_is_said() -> None:
    fed = SmallFederation(clients=5)
    fed.play(1)
    fed.open(2)
    for client in fed.clients:
        fed.submit(client, _flipped(fed.update()) if client == "site-05" else None, round_id=2)
    fed.run(2)
    view = view_of(fed.reader(), 2)
    assert (view.trust[0].client, view.trust[0].weight, view.trust[0].weight_before) == (
        "site-05",
        0.0,
        1.0,
    )
    assert sentences(view)[0].endswith(
        "no weight in the merge: site-05. 1 of them had weight in round 1."
    )


def test_who_is_out_next_round_is_whom_the_protocol_excludes() -> None:
    fed = SmallFederation(clients=5, policy=PolicyPack(trust_nights=2))
    for round_id in (1, 2):
        fed.open(round_id)
        for client in fed.clients:
            fed.submit(
                client, _flipped(fed.update()) if client == "site-05" else None, round_id=round_id
            )
        fed.run(round_id)
        view, state = view_of(fed.reader(), round_id), fed.reader().state(round_id)
        assert state is not None
        assert view.policy is not None
        assert view.barred == tuple(excluded_of(state.value, view.policy))
    assert view.barred == ("site-05",)
    assert any("the next round will leave them out: site-05" in s for s in sentences(view))
    fed.play(3)
    after = view_of(fed.reader(), 3)
    assert after.excluded == ("site-05",)
    assert [r.rule for r in after.refused] == ["R-95"]
    assert next(r for r in after.trust if r.client == "site-05").fate is Fate.EXCLUDED
    assert after.missing == ()


def test_the_budget_is_the_rounds_own_and_a_refund_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    cost = Mechanism(kind="basic", epsilon=Decimal("4"), delta=Decimal("0.00001"))
    monkeypatch.setattr(
        "hyperfed.coordinator.budget.mechanisms_of",
        lambda reader, plan: (cost,) if isinstance(plan, Plan) else (),
    )
    fed = SmallFederation()
    for round_id in (1, 2, 3):
        fed.play(round_id)
    first, second, third = (view_of(fed.reader(), r).budget for r in (1, 2, 3))
    assert (first.spent_epsilon, first.left_epsilon, first.cost_epsilon, first.noise) == (
        4,
        6,
        4,
        True,
    )
    assert (second.spent_epsilon, second.left_delta) == (8, Decimal("0.00008"))
    assert (third.spent_epsilon, third.cost_epsilon, third.noise) == (8, 0, False)
    view = view_of(fed.reader(), 3)
    assert (view.outcome, view.rule) == (Outcome.VOID, "R-65")
    assert sentences(view_of(fed.reader(), 1))[-1].startswith(
        "It cost 4 epsilon and 0.00001 delta for each client; 6 of 10 epsilon"
    )
    assert not any(
        "no differential privacy is claimed" in s for s in sentences(view_of(fed.reader(), 1))
    )


def test_what_a_void_round_had_reserved_stays_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    cost = Mechanism(kind="basic", epsilon=Decimal("4"), delta=Decimal("0.00001"))
    monkeypatch.setattr("hyperfed.coordinator.budget.mechanisms_of", lambda reader, plan: (cost,))
    monkeypatch.setattr("hyperfed.dropbox.charges.is_alien", lambda reader, reserve: False)
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all()
    runner = fed.runner()
    runner.freeze(1, runner.validate(runner.collect(1)))
    runner.reserve(1)
    under_way = view_of(fed.reader(), 1)
    assert (under_way.outcome, under_way.budget.cost_epsilon, under_way.budget.left_epsilon) == (
        Outcome.FROZEN,
        4,
        6,
    )
    assert sentences(under_way)[-1].startswith("It has reserved 4 epsilon")
    assert isinstance(fed.store, MemoryStore)
    for key in fed.objects("rounds/00000001/accepted/"):
        fed.store.forget(key)
    fed.open(2)
    fed.runner(2).collect(2)
    view = view_of(fed.reader(), 1)
    assert (view.outcome, view.rule) == (Outcome.VOID, "R-118")
    assert (view.budget.refunded, view.budget.cost_epsilon, view.budget.left_epsilon) == (
        False,
        4,
        6,
    )
    assert sentences(view)[-1].startswith(
        "It has no result, and the 4 epsilon that it had reserved"
    )


def test_of_many_edges_the_strongest_are_kept() -> None:
    fed = SmallFederation()
    fed.open()
    for client in fed.clients:
        fed.submit(
            client,
            Update(
                measured=np.arange(4),
                edges=_edges((0, 1, 1, 1.0, 0.5), (1, 2, 1, -1.0, 0.9), (2, 3, 1, 1.0, 0.7)),
            ),
        )
    fed.run()
    result = fed.reader().result(1)
    assert result is not None
    assert [e.vote for e in edge_rows(result.value)] == pytest.approx([-0.9, 0.7, 0.5])
    assert [e.vote for e in edge_rows(result.value, keep=2)] == pytest.approx([-0.9, 0.7])


def test_a_freeze_written_after_the_void_is_not_shown() -> None:
    """A slow coordinator creates its freeze when another has voided the round already: the ledger
    names none, so nobody counts.
    """
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all()
    slow = fed.runner(1)
    candidate = draft_freeze(
        slow.reader, slow.plan(1), slow.base_state(1), slow.validate(slow.collect(1)), now=slow.now
    )
    assert candidate is not None
    assert isinstance(fed.store, MemoryStore)
    for client in fed.clients[1:]:  # the bucket hides them, and the round is below quorum
        fed.store.forget(Keys.inbox(1, client, 0))
    fed.play(2)
    write = sign_object(
        Keys.freeze(1),
        PacketType.FREEZE,
        candidate,
        key_pair=fed.coordinator,
        time=candidate.time,
        audience="coordinator",
    )
    assert fed.store.put_if_absent(write.key, write.data)
    view = view_of(fed.reader(), 1)
    assert (view.outcome, view.counted, dict(view.digests).keys()) == (
        Outcome.VOID,
        (),
        {"plan", "result"},
    )
