"""The audit finds what was changed, names it first, and says what it checked. Each forgery has its
honest twin: the same drop-box before it.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hyperfed.config import Limits
from hyperfed.crypto.envelope import PacketType, digest_of, open_envelope
from hyperfed.errors import TransientError
from hyperfed.operations.audit import AuditReport, audit
from hyperfed.protocol import merkle
from hyperfed.protocol.documents import COORDINATOR, sign_object
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Freeze
from hyperfed.protocol.packs import make_pack, read_pack
from hyperfed.testing.faults import FaultPlan, FaultStore
from hyperfed.testing.federation import SmallFederation, key_of


@pytest.fixture(scope="module")
def played() -> SmallFederation:
    """Two committed rounds, the second with a late update, and a void one; two packs a round."""
    fed = SmallFederation(auditors=1, limits=Limits(pack_bytes=2600))
    fed.play(1, but=["site-03"])
    fed.open(2)
    fed.submit("site-03", round_id=1)
    fed.submit_all(round_id=2, but=["site-03"])
    fed.run(2)
    fed.open(3)
    fed.runner(3, now=fed.night(3) + timedelta(days=2)).run(3)
    return fed


@pytest.fixture
def fed(played: SmallFederation) -> SmallFederation:
    return played.twin()


def put(fed: SmallFederation, key: str, data: bytes | None) -> None:
    """What whoever runs the bucket can do."""
    fed.store._objects.pop(key, None)  # type: ignore[attr-defined]
    if data is not None:
        fed.store.put_if_absent(key, data)


def report(fed: SmallFederation, *, opened: bool = True) -> AuditReport:
    return audit(fed.store, fed.fingerprint, fed.auditors[0] if opened else None)


def test_an_untouched_dropbox_passes_and_everything_was_checked(fed: SmallFederation) -> None:
    found = report(fed)
    assert found.ok, found.findings
    assert found.first_broken is None
    expected = {
        "registry versions": 1,
        "ledger entries": 5,
        "budget checks": 2,
        "plans": 3,
        "freezes": 2,
        "updates": 5,
        "updates judged again": 5,
        "results": 2,
        "tombstones": 1,
    }
    assert found.checked == expected | {
        "states": 2,
        "results recomputed": 2,
        "states recomputed": 2,
        "receipts": 9,
    }
    assert found.remarks == ()


def test_without_a_key_nothing_is_computed_again_and_that_is_said(fed: SmallFederation) -> None:
    found = report(fed, opened=False)
    assert found.ok
    assert "results recomputed" not in found.checked
    assert found.checked["updates"] == 5, "signatures are checked all the same"
    assert any("no key was given" in remark for remark in found.remarks)


DECIDED = [
    Keys.registry(1),
    Keys.plan(2),
    Keys.freeze(2),
    Keys.result(2),
    Keys.state(2),
    Keys.receipt(2, "site-01"),
    Keys.ledger(1),
    Keys.ledger(4),
    Keys.ledger(5),
    Keys.result(3),
]


@pytest.mark.parametrize("key", DECIDED)
def test_one_flipped_bit_anywhere_is_found_and_named(fed: SmallFederation, key: str) -> None:
    data = bytearray(fed.objects()[key])
    data[-1] ^= 1
    put(fed, key, bytes(data))
    found = report(fed)
    assert not found.ok
    assert found.first_broken == key


@pytest.mark.parametrize(
    "key",
    [Keys.registry(1), Keys.plan(2), Keys.freeze(1), Keys.result(2), Keys.state(2), Keys.ledger(3)],
)
def test_a_missing_object_is_found_and_named(fed: SmallFederation, key: str) -> None:
    put(fed, key, None)
    assert report(fed).first_broken == key


def test_a_pack_that_was_replaced_or_removed_is_found_once(fed: SmallFederation) -> None:
    frozen = fed.reader().freeze(2)
    assert frozen is not None
    first, second = (Keys.accepted(2, digest) for digest in frozen.value.packs)
    for there, problem in (
        (fed.objects()[second], "is not the pack that was frozen"),
        (None, "cannot be read"),
    ):
        put(fed, first, there)
        found = report(fed, opened=False)
        assert [(f.key, f.rule) for f in found.findings] == [(first, "R-66")], (
            "one finding, though two of its updates count"
        )
        assert problem in found.findings[0].problem
        assert found.checked["updates"] == 3


def test_packs_that_no_freeze_names_are_a_remark(fed: SmallFederation) -> None:
    """A stage that was tried again when more had arrived has left them: nothing was decided from
    them.
    """
    put(fed, Keys.accepted(2, b"a" * 32), b"whatever")
    found = report(fed)
    assert found.ok
    assert found.remarks == (
        "round 2 has 1 packs that its freeze does not need: a stage that was tried again left "
        "them, or nothing in them counts",
    )


def test_another_federations_roots_are_refused(fed: SmallFederation) -> None:
    found = audit(fed.store, "0" * 64)
    assert found.first_broken == Keys.registry(1)


def test_a_missing_receipt_is_a_remark_and_a_foreign_object_a_finding(fed: SmallFederation) -> None:
    put(fed, Keys.receipt(2, "site-01"), None)
    found = report(fed)
    assert found.ok
    assert any("lacks 1 of 3 receipts" in remark for remark in found.remarks)
    put(fed, "rounds/00000002/results", b"x")
    assert report(fed).first_broken == "rounds/00000002/results"


# what the coordinator's own key could forge


def forge(
    fed: SmallFederation, key: str, type_: PacketType, value: object, *, audience: str = "clients"
) -> None:
    put(
        fed,
        key,
        sign_object(
            key, type_, value, key_pair=fed.coordinator, time=fed.night(2), audience=audience
        ).data,
    )


def test_a_result_that_the_coordinator_changed_after_the_commit_is_found(
    fed: SmallFederation,
) -> None:
    result = fed.reader().result(2)
    assert result is not None
    forge(fed, Keys.result(2), PacketType.RESULT, replace(result.value, statement="trust me"))
    assert report(fed).first_broken == Keys.result(2)


def forge_freeze(fed: SmallFederation, forged: Freeze) -> None:
    forge(
        fed,
        Keys.freeze(2),
        PacketType.FREEZE,
        replace(forged, merkle_head=merkle.head(forged.leaves)),
        audience=COORDINATOR,
    )


def envelopes(fed: SmallFederation, round_id: int) -> dict[bytes, bytes]:
    """All that lies in a round's packs, by packet digest."""
    packs = fed.objects(f"rounds/{round_id:08d}/accepted/")
    return {
        digest: bytes(envelope)
        for key, data in packs.items()
        for digest, envelope in read_pack(data, subject=key).items()
    }


def _resign_round_2(fed: SmallFederation, change: Callable[[], None]) -> None:
    """The last night done again by a dishonest coordinator that holds the key: everything after
    `change` is honest.
    """
    for key in [k for k in fed.objects() if k.startswith(("rounds/00000003", "inbox/00000003"))]:
        put(fed, key, None)
    for n in (3, 4, 5):
        put(fed, Keys.ledger(n), None)
    for key in [
        k
        for k in fed.objects()
        if k.startswith("rounds/00000002/") and not k.endswith("/plan") and "/accepted/" not in k
    ]:
        put(fed, key, None)
    change()
    fed.run(2)


@pytest.mark.parametrize("what", ["absent", "another's", "corrected"])
def test_a_pack_of_the_coordinators_own_making_needs_the_clients_updates(
    fed: SmallFederation, what: str
) -> None:
    """The pack has the digest that the freeze names, and not in it what the freeze counts."""
    honest = fed.reader().freeze(2)
    assert honest is not None
    first, second, third = honest.value.counted
    true = envelopes(fed, 2)
    put_in = {
        "absent": [(second.digest, true[second.digest])],
        "another's": [(first.digest, true[second.digest]), (second.digest, true[second.digest])],
        "corrected": [
            (first.digest, fed.envelope("site-01", round_id=2, sequence=first.sequence)),
            (second.digest, true[second.digest]),
        ],
    }[what]
    pack = make_pack([*put_in, (third.digest, true[third.digest])])
    put(fed, Keys.accepted(2, pack.digest), pack.data)
    forge_freeze(fed, replace(honest.value, packs=(pack.digest,), in_pack=(0, 0, 0)))
    for key in [
        key
        for key in fed.objects()
        if key.startswith(("rounds/00000002/re", "rounds/00000002/state"))
    ] + [Keys.ledger(n) for n in (3, 4, 5)]:
        put(fed, key, None)
    found = report(fed, opened=False)
    assert found.first_broken == Keys.accepted(2, pack.digest)
    assert found.findings[0].rule == "R-66"
    assert "site-01's" in found.findings[0].problem
    assert found.checked["updates"] == 4, "the two others of the pack, and the first round's two"


def findings(fed: SmallFederation) -> list[tuple[str, str]]:
    """(key, rule) of each finding, with a key and without; the audit itself changes nothing."""
    before = fed.objects()
    found, blind = report(fed), report(fed, opened=False)
    assert [(f.key, f.rule) for f in blind.findings] == [(f.key, f.rule) for f in found.findings]
    assert fed.objects() == before
    return [(f.key, f.rule) for f in found.findings]


@pytest.mark.parametrize(
    ("lie", "rule"),
    [
        ({}, ""),
        ({"merkle_head": b"m" * 32}, "R-70"),
        ({"excluded": ("site-01",)}, "R-95"),
    ],
    ids=["honest", "another Merkle head", "counted and excluded at once"],
)
def test_a_freeze_that_contradicts_itself_is_found(
    fed: SmallFederation, lie: dict[str, Any], rule: str
) -> None:
    """The rest of the round is honest work on the forged freeze: reserve, result, state, commit and
    receipts follow from it.
    """
    honest = fed.reader().freeze(2)
    assert honest is not None

    def change() -> None:
        forge(
            fed,
            Keys.freeze(2),
            PacketType.FREEZE,
            replace(honest.value, **lie),
            audience=COORDINATOR,
        )

    _resign_round_2(fed, change)
    assert findings(fed) == ([(Keys.freeze(2), rule)] if rule else [])


@pytest.mark.parametrize(
    "claims", ["nothing", "what is there", "an entry beyond the end", "another entry"]
)
def test_an_update_that_has_seen_what_the_ledger_does_not_hold_is_found(
    fed: SmallFederation, claims: str
) -> None:
    """R-73. The freeze says nothing of that claim: the coordinator that cut the ledger left it out,
    and the update still has it.
    """
    honest, second = fed.reader().freeze(2), fed.reader().ledger()[1]
    assert honest is not None
    first, *others = honest.value.counted
    sequence, digest = {
        "nothing": (0, b""),
        "what is there": (2, second.digest),
        "an entry beyond the end": (9, b"l" * 32),
        "another entry": (1, second.digest),
    }[claims]
    update = fed.envelope(
        "site-01",
        round_id=2,
        sequence=first.sequence,
        ledger_sequence=sequence,
        ledger_digest=digest,
    )
    envelope = open_envelope(update)
    counted = (replace(first, digest=digest_of(envelope.type, envelope.header_bytes)), *others)
    pack = make_pack(
        [(counted[0].digest, update), *((c.digest, envelopes(fed, 2)[c.digest]) for c in others)]
    )
    put(fed, Keys.accepted(2, pack.digest), pack.data)
    for key in (Keys.accepted(2, old) for old in honest.value.packs):
        put(fed, key, None)

    def change() -> None:
        forge_freeze(
            fed,
            replace(
                honest.value, counted=counted, packs=(pack.digest,), in_pack=(0,) * len(counted)
            ),
        )

    _resign_round_2(fed, change)
    named = {
        "an entry beyond the end": Keys.accepted(2, pack.digest),
        "another entry": Keys.ledger(1),
    }.get(claims)
    assert findings(fed) == ([(named, "R-73")] if named else [])


def test_a_freeze_that_counts_somebody_twice_for_a_window_is_found(fed: SmallFederation) -> None:
    honest = fed.reader().freeze(2)
    assert honest is not None
    first = fed.reader().freeze(1)
    assert first is not None
    again = first.value.counted[0]

    def change() -> None:
        counted = (again, *(c for c in honest.value.counted if c.client != again.client))
        pack = make_pack(
            [(c.digest, envelopes(fed, 1 if c is again else 2)[c.digest]) for c in counted]
        )
        put(fed, Keys.accepted(2, pack.digest), pack.data)
        forge_freeze(
            fed,
            replace(
                honest.value, counted=counted, packs=(pack.digest,), in_pack=(0,) * len(counted)
            ),
        )

    _resign_round_2(fed, change)
    found = report(fed)
    # what the client did send for round 2 is left out for it
    assert [f.rule for f in found.findings] == ["R-89", "R-94", "R-127"]
    assert found.first_broken == Keys.freeze(2)


def test_a_state_that_flatters_somebody_is_found_by_computing_it_again(
    fed: SmallFederation,
) -> None:
    state = fed.reader().state(2)
    assert state is not None
    flattered = replace(
        state.value, clients=(replace(state.value.clients[0], alpha=99.0), *state.value.clients[1:])
    )

    def change() -> None:
        runner = fed.runner(2)
        runner.freeze(2, runner.validate(runner.collect(2)))
        runner.reserve(2)
        runner.release(2)
        frozen, result = fed.reader().freeze(2), fed.reader().result(2)
        assert frozen is not None
        assert result is not None
        forge(
            fed,
            Keys.state(2),
            PacketType.STATE,
            replace(flattered, freeze=frozen.digest, result=result.digest),
            audience=COORDINATOR,
        )

    _resign_round_2(fed, change)
    assert report(fed, opened=False).ok, "without a key nobody can tell"
    found = report(fed)
    assert [f.key for f in found.findings] == [Keys.state(2)]


def test_a_receipt_that_lies_is_found(fed: SmallFederation) -> None:
    receipt = fed.receipt("site-02", 2)
    assert receipt is not None
    forge(
        fed,
        Keys.receipt(2, "site-02"),
        PacketType.RECEIPT,
        replace(receipt, reason="all is well"),
        audience="site-02",
    )
    assert report(fed).first_broken == Keys.receipt(2, "site-02")


def test_an_entry_beyond_a_hole_in_the_ledger_is_found(fed: SmallFederation) -> None:
    put(fed, Keys.ledger(9), fed.objects()[Keys.ledger(5)])
    assert report(fed).first_broken == Keys.ledger(6), "what is missing is named"


def test_objects_of_a_key_that_the_registry_does_not_name_are_found(fed: SmallFederation) -> None:
    freeze = fed.reader().freeze(2)
    assert freeze is not None
    put(
        fed,
        Keys.freeze(2),
        sign_object(
            Keys.freeze(2),
            PacketType.FREEZE,
            freeze.value,
            key_pair=key_of("mallory"),
            time=fed.night(2),
        ).data,
    )
    found = report(fed)
    assert found.first_broken == Keys.freeze(2)
    assert found.findings[0].rule == "R-32"


def test_a_fault_of_the_store_is_no_finding(fed: SmallFederation) -> None:
    with pytest.raises(TransientError):
        audit(
            FaultStore(fed.store, FaultPlan(lost_request=0.2), sleep=lambda _: None),
            fed.fingerprint,
        )
