"""Historical accuracy: sign agreement with the edges of the last committed rounds, and the same
after a crash and by the auditor.
"""

from dataclasses import replace

import numpy as np
import pytest

from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.operations.audit import audit
from hyperfed.packets import Update
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.tables.tables import EdgeTable
from hyperfed.testing.federation import SmallFederation
from hyperfed.trust_scorer import ACCURACY_ROUNDS, FORGETTING, accuracy_of

pytestmark = pytest.mark.unit


def _store(**signs: float) -> HypergraphStore:
    """Edges a -> b at lag 1, named by their ends: ab=0.5 is 0 -> 1."""
    ends = sorted((ord(name[0]) - 97, ord(name[1]) - 97, effect) for name, effect in signs.items())
    source, target, effect = (np.array(column) for column in zip(*ends, strict=True))
    edges = EdgeTable.build(
        source=source,
        target=target,
        lag=1,
        effect=effect.astype(float),
        confidence=0.9,
        stability=0.9,
    )
    return HypergraphStore(edges=edges, measured=range(4))


def _model(**signs: float) -> HypergraphStore:
    return StoreReconciler().reconcile([_store(**signs)] * 3)


def test_accuracy_is_sign_agreement_with_the_edges_of_the_last_rounds() -> None:
    last, before = _model(ab=1, bc=1), _model(ab=-1, cd=1)
    assert accuracy_of(_store(ab=1, bc=-1), [last]) == 0.5
    # ab by the newest model that has it, cd by the one before
    assert accuracy_of(_store(ab=1, cd=1), [last, before]) == 1.0
    assert accuracy_of(_store(ab=1, bc=1, cd=-1, da=1), [last, before]) == pytest.approx(2 / 3)
    assert accuracy_of(_store(da=1), [last, before]) == 1.0
    assert accuracy_of(_store(ab=1), []) == 1.0


def test_no_more_than_the_last_three_rounds_are_remembered() -> None:
    old, other = _model(ab=1), _model(bc=1)
    assert accuracy_of(_store(ab=-1), [other] * (ACCURACY_ROUNDS - 1) + [old]) == 0.0
    assert accuracy_of(_store(ab=-1), [other] * ACCURACY_ROUNDS + [old]) == 1.0


def test_a_round_remembers_what_the_last_model_lost_and_the_auditor_computes_the_same() -> None:
    """R-103: night 2's model has lost the edge of night 1; on night 3 one client contradicts it,
    and is less accurate for it.
    """
    fed = SmallFederation(clients=5, auditors=1)
    whole = fed.update(fed.clients[0])
    for night in (1, 2, 3):
        fed.open(night)
        for client in fed.clients:
            edges = fed.update(client).edges
            if night == 2:
                edges = edges.take(np.array([True, True, False]))
            elif night == 3 and client == fed.clients[0]:
                edges = replace(edges, effect=edges.effect * [1, 1, -1], ci_low=None, ci_high=None)
            fed.submit(client, Update(measured=whole.measured, edges=edges), round_id=night)
        assert fed.run(night).why is not None
    results = [fed.reader().result(night) for night in (1, 2)]
    assert [
        len(result.value.edges)
        for result in results
        if result and isinstance(result.value, GlobalModel)
    ] == [3, 2]
    third, second = fed.reader().state(3), fed.reader().state(2)
    assert third is not None
    assert second is not None
    odd, other = third.value.of(fed.clients[0]), third.value.of(fed.clients[1])
    assert odd is not None
    assert other is not None
    before = second.value.of(fed.clients[0])
    assert before is not None
    quality = odd.alpha - FORGETTING * before.alpha
    votes = np.abs(whole.edges.vote)
    right = votes[:2].sum() / votes.sum()  # each vote counts by its size; the median client's is 1
    assert quality == pytest.approx(0.4 * (odd.weight > 0) + 0.4 * odd.weight + 0.2 * right)
    report = audit(fed.store, fed.fingerprint, fed.auditors[0])
    assert report.ok, report.findings
    assert report.checked["states recomputed"] == 3
