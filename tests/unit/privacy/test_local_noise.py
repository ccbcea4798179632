"""Local noise at the client: one message a round, charged once and kept until it has arrived;
records as the unit; a guard whose file was lost.
"""

import json
import math
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from hyperfed.client import ClientMemory
from hyperfed.dropbox.budgets import accountant_of
from hyperfed.errors import (
    ConfigError,
    PrivacyBudgetExhausted,
    PrivacyError,
    RefusedError,
    TransientError,
)
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.operations.audit import audit
from hyperfed.packets import PolicyPack, Update
from hyperfed.privacy.mechanisms import plan_release
from hyperfed.privacy.release import noised_message
from hyperfed.registry.registry import Budget
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit

LOCAL = PolicyPack(privacy="local", strategy="mean", trust_min=0, max_lag=1)
SLOTS = 4 * 3 + 16


def spent(fed: SmallFederation, client: str = "site-01", budget: Budget | None = None) -> int:
    return len(fed.memories[client].privacy_guard(budget or Budget()).accountant.mechanisms)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Update]:
    """Every message whose noise was drawn."""
    made: list[Update] = []

    def noticed(*args: object, **kwargs: object) -> Update:
        made.append(noised_message(*args, **kwargs))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr("hyperfed.client.noised.noised_message", noticed)
    return made


# -- one message a round ---------------------------------------------------------------------


def test_a_second_message_of_a_round_is_refused_and_nothing_moves(drawn: list[Update]) -> None:
    """R-98."""
    fed = SmallFederation(policy=LOCAL)
    fed.open(1)
    fed.submit("site-01")
    before = fed.objects("inbox/")
    with pytest.raises(RefusedError, match="one message a round"):
        fed.submit("site-01", fed.update("site-01", effect=0.9))
    assert fed.objects("inbox/") == before
    assert (len(drawn), spent(fed)) == (1, 1)


def test_what_a_client_spent_is_what_the_ledger_counts() -> None:
    fed = SmallFederation(policy=LOCAL)
    for r in (1, 2, 3):
        fed.play(r)
    ledger = accountant_of(fed.reader(), fed.reader().ledger())
    assert (
        fed.memories["site-01"].privacy_guard(Budget()).accountant.mechanisms == ledger.mechanisms
    )
    assert len(ledger.mechanisms) == 3


def test_a_message_that_lies_in_another_slot_is_refused() -> None:
    """R-98, against a client that does not keep to it: its second message does not count."""
    fed = SmallFederation(policy=LOCAL)
    fed.open(1)
    night = plan_release(
        epsilon=Decimal(1), delta=Decimal("0.00001"), clip_norm=1.0, slots=SLOTS, place="local"
    )
    for slot in (0, 1):
        message = noised_message(
            fed.update("site-01"), night, vocabulary=fed.vocabulary, lags=(0, 1)
        )
        fed.put(fed.envelope("site-01", update=message), "site-01", slot=slot)
    judged = fed.judge()
    assert [a.key for a in judged.admitted] == ["inbox/00000001/site-01/0"]
    assert [(r.key, r.rule) for r in judged.refused] == [("inbox/00000001/site-01/1", "R-98")]


class _Unsure:
    """A store whose puts into the inbox fail, after the fact or before it."""

    def __init__(self, store: object, *, applied: bool) -> None:
        self._store, self._applied, self.failing = store, applied, True

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        if self.failing and key.startswith("inbox/"):
            if self._applied:
                self._store.put_if_absent(key, data)  # type: ignore[attr-defined]
            raise TransientError("no answer", subject=key)
        return bool(self._store.put_if_absent(key, data))  # type: ignore[attr-defined]


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("restart", [True, False])
def test_a_repeat_after_a_lost_reply_sends_the_very_same_bytes(
    applied: bool, restart: bool, drawn: list[Update], tmp_path: Path
) -> None:
    fed = SmallFederation(policy=LOCAL)
    fed.memories["site-01"] = ClientMemory(tmp_path / "memory.json")
    fed.open(1)
    store = _Unsure(fed.store, applied=applied)
    with pytest.raises(TransientError):
        fed.session("site-01", store=store).submit(
            fed.update("site-01"), now=fed.opens(1), plan=fed.session("site-01").plan(1)
        )  # type: ignore[arg-type]
    if restart:
        fed.memories["site-01"] = ClientMemory(tmp_path / "memory.json")
    sent = fed.submit("site-01")
    assert (sent.key, sent.edges) == ("inbox/00000001/site-01/0", SLOTS)
    assert list(fed.objects("inbox/00000001/site-01/")) == [sent.key]
    assert (len(drawn), spent(fed)) == (1, 1)
    with pytest.raises(RefusedError, match="R-98"):
        fed.submit("site-01")
    (admitted,) = fed.judge().admitted
    assert (admitted.digest, admitted.sequence) == (sent.digest, sent.sequence)


def test_two_runs_at_once_send_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second looked before the first one kept its message, and has drawn too: what it finds
    kept is what it sends.
    """
    fed = SmallFederation(policy=LOCAL)
    fed.open(1)
    path = tmp_path / "memory.json"
    fed.memories["site-01"] = ClientMemory(path)
    sent = fed.submit("site-01")
    fed.memories["site-01"] = ClientMemory(path)
    monkeypatch.setattr(fed.memories["site-01"].message, "of", lambda operation: None)
    monkeypatch.setattr("hyperfed.client.session.check_first_slot", lambda *_, **__: None)
    assert fed.submit("site-01").digest == sent.digest
    assert list(fed.objects("inbox/00000001/site-01/")) == [sent.key]
    assert spent(fed) == 1


def test_a_bucket_that_hides_a_message_gets_no_second_draw(drawn: list[Update]) -> None:
    """Once the next round's message is the one that is kept, the inbox is shown empty (R-98)."""
    fed = SmallFederation(policy=LOCAL)
    late = fed.opens(2) + timedelta(hours=2)
    for round_id in (1, 2):
        fed.open(round_id)
        fed.submit("site-01", round_id=round_id)
    shown = {key: data for key, data in fed.objects().items() if "inbox" not in key}
    fed.store = MemoryStore()
    for key, data in shown.items():
        fed.store.put_if_absent(key, data)
    with pytest.raises(RefusedError, match="has its message already") as refused:
        fed.submit("site-01", round_id=1, now=late)
    assert refused.value.rule == "R-98"
    assert (len(drawn), spent(fed), fed.objects("inbox/")) == (2, 2, {})
    fed.submit("site-02", round_id=1, now=late)  # which has sent nothing yet
    assert (len(drawn), spent(fed, "site-02")) == (3, 1)


def test_a_kept_message_that_cannot_be_read_stops_the_client(tmp_path: Path) -> None:
    fed = SmallFederation(policy=LOCAL)
    fed.memories["site-01"] = ClientMemory(tmp_path / "memory.json")
    fed.open(1)
    (tmp_path / "memory.json.message.json").write_text("{}")
    with pytest.raises(ConfigError, match="is not a kept message"):
        fed.submit("site-01")
    assert fed.objects("inbox/") == {}


# -- the client's own budget -----------------------------------------------------------------------


def test_a_client_whose_budget_is_used_up_sends_nothing(drawn: list[Update]) -> None:
    """Round 1 ended void, so the ledger has the night back; the client's message was there, and the
    client has not.
    """
    budget = Budget(epsilon=Decimal("1.5"), delta=Decimal("0.00001"))
    fed = SmallFederation(policy=LOCAL, budget=budget)
    fed.open(1, quorum=3)
    fed.submit("site-01")
    fed.open(2)
    before = fed.objects("inbox/")
    with pytest.raises(PrivacyBudgetExhausted):
        fed.submit("site-01", round_id=2)
    assert fed.objects("inbox/") == before
    assert (len(drawn), spent(fed, budget=budget)) == (1, 1)


def test_a_client_that_lost_its_guard_starts_from_the_ledger_not_from_nothing(
    tmp_path: Path,
) -> None:
    fed = SmallFederation(policy=LOCAL)
    path = tmp_path / "memory.json"
    fed.memories["site-01"] = ClientMemory(path)
    fed.play(1)
    fed.play(2)
    (tmp_path / "memory.json.privacy.json").unlink()
    fed.open(3)
    fed.submit("site-01", round_id=3)
    assert spent(fed) == 3
    assert sorted(
        json.loads((tmp_path / "memory.json.privacy.json").read_text())["operations"]
    ) == [f"small-fed/round/{r}" for r in (1, 2, 3)]


# -- records ---------------------------------------------------------------------------------------


def test_records_may_be_protected_by_the_clients_own_noise() -> None:
    fed = SmallFederation(policy=replace(LOCAL, record_bound=0.05), budget=Budget(unit="record"))
    fed.open(1)
    for client in fed.clients:
        update = fed.update(client)
        fed.submit(client, replace(update, claims=replace(update.claims, record_bound=0.05)))
    fed.run(1)
    found = fed.reader().result(1)
    assert found is not None
    assert isinstance(found.value, GlobalModel)
    said = found.value.privacy
    assert said is not None
    assert (said.place, said.unit, said.record_bound, said.epsilon) == (
        "local",
        "record",
        0.05,
        Decimal("1.0926"),
    )
    assert said.sensitivity == math.ceil(said.grid * 0.05) + math.isqrt(SLOTS - 1) + 1
    assert said.noise_std < 0.2  # a client's noise would be 3.7 / sqrt(3)
    assert "one record of one client" in found.value.statement
    assert audit(fed.store, fed.fingerprint, fed.coordinator).findings == ()


@pytest.mark.parametrize("attested", [None, 0.06])
def test_a_client_that_attests_too_little_noises_nothing(
    attested: float | None, drawn: list[Update]
) -> None:
    fed = SmallFederation(policy=replace(LOCAL, record_bound=0.05), budget=Budget(unit="record"))
    fed.open(1)
    update = fed.update("site-01")
    with pytest.raises(RefusedError, match="R-91"):
        fed.submit("site-01", replace(update, claims=replace(update.claims, record_bound=attested)))
    assert (drawn, spent(fed), fed.objects("inbox/")) == ([], 0, {})


def test_a_noised_message_without_the_attestation_is_refused() -> None:
    """R-91, against a client that left it out."""
    fed = SmallFederation(policy=replace(LOCAL, record_bound=0.05), budget=Budget(unit="record"))
    fed.open(1)
    night = plan_release(
        epsilon=Decimal(1),
        delta=Decimal("0.00001"),
        clip_norm=1.0,
        slots=SLOTS,
        place="local",
        unit="record",
        record_bound=0.05,
    )
    fed.put(
        fed.envelope(
            "site-01",
            update=noised_message(
                fed.update("site-01"), night, vocabulary=fed.vocabulary, lags=(0, 1)
            ),
        ),
        "site-01",
    )
    assert [r.rule for r in fed.judge().refused] == ["R-91"]


def test_what_one_record_moves_a_message_by_is_within_its_sensitivity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "hyperfed.privacy.release.discrete_gaussian",
        lambda sigma, size, random_bytes: np.zeros(size, dtype=np.int64),
    )
    fed = SmallFederation()
    night = plan_release(
        epsilon=Decimal(1),
        delta=Decimal("0.00001"),
        clip_norm=1.0,
        slots=SLOTS,
        place="local",
        unit="record",
        record_bound=0.05,
    )
    rng = np.random.default_rng(6)
    base = fed.update("site-01")
    assert base.edges is not None
    for _ in range(100):
        effect = rng.normal(0, 0.3, 3)
        step = rng.normal(0, 1, 3)
        step *= 0.05 / np.linalg.norm(step)
        grids = []
        for values in (effect, effect + step):
            edges = replace(base.edges, effect=values, ci_low=None, ci_high=None)
            message = noised_message(
                replace(base, edges=edges), night, vocabulary=fed.vocabulary, lags=(0, 1)
            )
            assert message.edges is not None
            grids.append(np.rint(message.edges.effect.astype(np.float64) * night.bound))
        # the attested bound is that of the clipped vector
        if max(np.linalg.norm(effect), np.linalg.norm(effect + step)) <= 1:
            assert float(np.linalg.norm(grids[1] - grids[0])) <= night.mechanism.sensitivity


def test_the_session_attests_what_is_configured_and_only_where_it_matters() -> None:
    fed = SmallFederation(policy=replace(LOCAL, record_bound=0.05), budget=Budget(unit="record"))
    fed.open(1)
    session = fed.session("site-01")
    session.record_bound = 0.03
    assert session.leaving(fed.update("site-01"), fed.plan(1)).claims.record_bound == 0.03
    assert (
        session.leaving(
            fed.update("site-01"), replace(fed.plan(1), policy=PolicyPack())
        ).claims.record_bound
        is None
    )


def test_edges_are_not_selected_by_clients_that_noise_themselves() -> None:
    fed = SmallFederation(policy=replace(LOCAL, discovery="selected"))
    with pytest.raises(PrivacyError, match="by the coordinator only"):
        fed.open(1)
