"""A client is told how it was weighed, and nobody else: by its receipt, which audits make again."""

from dataclasses import replace

import pytest

from hyperfed.codec import PayloadCodec
from hyperfed.config import Limits
from hyperfed.coordinator.weighings import weighings_of
from hyperfed.crypto.envelope import PacketType
from hyperfed.errors import SchemaError
from hyperfed.merge import pooling
from hyperfed.operations.audit import audit
from hyperfed.packets import PolicyPack
from hyperfed.protocol.documents import sign_object
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.receipt_objects import Fate, Receipt, Weighing
from hyperfed.registry.registry import Budget
from hyperfed.testing.federation import SmallFederation

LIAR, HONEST = "site-03", "site-01"


def played(clients: int = 5, *, budget: Budget | None = None, **policy: object) -> SmallFederation:
    fed = SmallFederation(clients=clients, policy=PolicyPack(**policy), budget=budget or Budget())  # type: ignore[arg-type]
    night(fed, 1)
    return fed


def night(fed: SmallFederation, round_id: int) -> None:
    fed.open(round_id)
    for client in fed.clients:
        update = fed.update(client, effect=-0.9 if client == LIAR else 0.5)
        fed.submit(client, update, round_id=round_id)
    fed.run(round_id)


def receipt(fed: SmallFederation, client: str, round_id: int = 1) -> Receipt:
    found = fed.receipt(client, round_id)
    assert found is not None
    return found


def test_a_client_of_weight_0_is_told_so_and_what_to_look_at() -> None:
    fed = played()
    good, bad = receipt(fed, HONEST), receipt(fed, LIAR)
    assert good.fate is bad.fate is Fate.COUNTED
    assert good.weighing is not None
    assert bad.weighing is not None
    assert (good.weighing.weight, bad.weighing.weight) == (1.0, 0.0)
    assert bad.weighing.agreement == -1.0 < 0.9 < (good.weighing.agreement or 0)
    assert bad.weighing.trust < good.weighing.trust
    assert good.remedy == ""
    assert bad.reason == "counted with weight 0.00; its agreement with the others is -1.00"
    assert "check units" in bad.remedy
    state = fed.reader().state(1)
    assert state is not None
    own = state.value.of(HONEST)
    assert own is not None
    assert good.weighing.agreement == round(own.agreement, 2)
    assert audit(fed.store, fed.fingerprint, fed.coordinator).ok


def test_a_late_client_weighs_less_and_an_excluded_one_is_told_its_trust() -> None:
    fed = SmallFederation(clients=5, policy=PolicyPack(staleness_decay=0.5))
    fed.open(1)
    fed.submit_all(but=[HONEST])
    fed.run(1)
    fed.open(2)
    fed.submit(HONEST, round_id=1, now=fed.night(1))
    for client in fed.clients:
        if client != HONEST:
            fed.submit(client, round_id=2)
    fed.run(2)
    late = receipt(fed, HONEST, 2)
    assert late.fate is Fate.LATE
    assert late.weighing is not None
    assert late.weighing.weight == 0.5
    assert late.reason.startswith(
        "made for round 1, counted 1 round late; counted with weight 0.50"
    )
    assert receipt(fed, HONEST, 1).weighing is None, "it was not seen"

    fed = played()
    for round_id in range(2, 6):
        night(fed, round_id)
    out = receipt(fed, LIAR, 5)
    assert out.fate is Fate.EXCLUDED
    assert out.weighing is not None
    assert (out.weighing.weight, out.weighing.agreement) == (0.0, None)
    assert out.weighing.trust < 0.2
    assert audit(fed.store, fed.fingerprint, fed.coordinator).ok


@pytest.mark.parametrize(
    "policy",
    [
        {"strategy": "union"},
        {"privacy": "central", "strategy": "mean", "trust_min": 0, "max_lag": 1},
    ],
    ids=["union", "private"],
)
def test_where_no_agreement_is_computed_none_is_told(policy: dict[str, object]) -> None:
    weighing = receipt(played(**policy), HONEST).weighing
    assert weighing is not None
    assert (weighing.agreement, weighing.weight) == (None, 1.0)


def test_a_minimum_support_keeps_agreement_back_and_rounds_what_follows_from_it() -> None:
    """Or a client would send one made-up edge a night and read whether somebody has it."""
    fed = played(budget=Budget(minimum_support=3))
    for client in (HONEST, LIAR):
        weighing = receipt(fed, client).weighing
        assert weighing is not None
        assert weighing.agreement is None
        assert weighing.weight == round(weighing.weight, 1)
        assert weighing.trust == round(weighing.trust, 1)
        assert "agree" not in receipt(fed, client).reason


def test_receipts_of_a_round_have_one_length_whatever_they_say() -> None:
    fed = SmallFederation(clients=5, policy=PolicyPack())
    fed.open(1)
    for client in fed.clients[:-1]:
        fed.submit(client, fed.update(client, effect=-0.9 if client == LIAR else 0.5))
    fed.run(1)
    assert {receipt(fed, client).fate for client in fed.clients} == {Fate.COUNTED, Fate.NOT_SEEN}
    sizes = {len(data) for data in fed.objects("rounds/00000001/receipts/").values()}
    assert len(sizes) == 1
    documents = {len(PayloadCodec().encode(receipt(fed, client))) for client in fed.clients}
    assert documents == {1536}


@pytest.mark.parametrize("change", [{"weight": 1.0}, {"agreement": 0.5}, {"trust": 0.9}, None])
def test_an_auditor_finds_a_weighing_that_is_not_the_states(
    change: dict[str, float] | None,
) -> None:
    fed = played()
    told = receipt(fed, LIAR)
    assert told.weighing is not None
    lie = replace(told, weighing=replace(told.weighing, **change) if change else None)
    end = fed.reader().ledger()[-1]
    write = sign_object(
        Keys.receipt(1, LIAR),
        PacketType.RECEIPT,
        lie,
        key_pair=fed.coordinator,
        time=end.entry.time,
        audience=LIAR,
    )
    fed.store._objects[write.key] = write.data  # type: ignore[attr-defined]
    found = audit(fed.store, fed.fingerprint, fed.coordinator).findings
    assert [(f.key, f.rule) for f in found] == [(Keys.receipt(1, LIAR), "R-68")]


def test_a_large_rounds_page_tells_each_client_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    fed = SmallFederation(clients=5, limits=Limits(own_receipts=4))
    night(fed, 1)
    assert not fed.objects("rounds/00000001/receipts/")
    weighing = receipt(fed, LIAR).weighing
    assert weighing is not None
    assert weighing.weight == 0.0
    assert receipt(fed, LIAR).padding == b"", "the page pads it"
    assert audit(fed.store, fed.fingerprint, fed.coordinator).ok


def test_a_round_frozen_under_an_earlier_formula_tells_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hyperfed.coordinator.round_objects.FORMULA", 2)
    fed = played()
    told = receipt(fed, LIAR)
    assert (told.reason, told.remedy, told.weighing, told.padding) == ("counted", "", None, b"")
    assert pooling.FORMULA > 2
    assert audit(fed.store, fed.fingerprint, fed.coordinator).ok


def test_nothing_is_told_without_a_state() -> None:
    fed = played()
    reader = fed.reader()
    frozen = reader.freeze(1)
    assert frozen is not None
    assert weighings_of(fed.plan(1), frozen.value, None, minimum_support=1) == {}
    assert weighings_of(fed.plan(1), None, None, minimum_support=1) == {}


@pytest.mark.parametrize("wrong", [{"agreement": 1.1}, {"weight": -0.1}, {"trust": 2.0}])
def test_a_weighing_is_made_of_shares(wrong: dict[str, float]) -> None:
    with pytest.raises(SchemaError):
        Weighing(**({"agreement": 0.0, "weight": 0.0, "trust": 0.0} | wrong))  # type: ignore[arg-type]
