"""What a batch comes to: one update a client, both of an equivocation refused, strays recorded."""

from typing import Any

import pytest

from hyperfed.codec import pack
from hyperfed.errors import BoundsError, ObjectTooLarge, RefusedError, TransientError
from hyperfed.packets import Update
from hyperfed.protocol.object_keys import Keys
from hyperfed.testing.federation import SmallFederation
from hyperfed.validator.admission import Arrival, refused_as, with_remedy
from hyperfed.validator.batch import Batch
from hyperfed.validator.validator import PacketValidator
from tests.unit.validator.broken_packets import KEY, LIMITS, WHO, context, deltas, send


def arrive(fed: SmallFederation, *sent: tuple[int, dict[str, Any]]) -> list[Arrival]:
    datas = [(slot, send(fed, **changes)) for slot, changes in sent]
    return [
        Arrival(key=Keys.inbox(5, WHO, slot), size=len(data), data=data) for slot, data in datas
    ]


def test_the_highest_sequence_is_admitted_and_the_rest_superseded(fed: SmallFederation) -> None:
    arrivals = arrive(fed, (0, {"sequence": 4}), (1, {"sequence": 6}), (2, {"sequence": 5}))
    for order in (arrivals, arrivals[::-1]):
        admission = PacketValidator(context=context(fed)).admit(order)
        assert [a.sequence for a in admission.admitted] == [6]
        assert [(r.rule, r.sequence) for r in admission.refused] == [("R-93", 4), ("R-93", 5)]
        assert all(len(r.digest) == 32 for r in admission.refused)


def test_a_clients_part_is_there_with_its_last_object_and_not_a_second_time(
    fed: SmallFederation,
) -> None:
    first, last = arrive(fed, (0, {"sequence": 4}), (1, {"sequence": 6}))
    batch = Batch(PacketValidator(context=context(fed)), last_keys={WHO: last.key})
    assert batch.take(first) is None
    part = batch.take(last)
    assert part is not None
    assert [a.sequence for a in part.admitted] == [6]
    assert batch.rest().admitted == ()


def test_equivocation_refuses_both_and_leaves_a_third(fed: SmallFederation) -> None:
    arrivals = arrive(fed, (0, {"sequence": 9}), (1, {"sequence": 9}), (2, {"sequence": 8}))
    admission = PacketValidator(context=context(fed)).admit(arrivals)
    assert [a.sequence for a in admission.admitted] == [8]
    assert [r.rule for r in admission.refused] == ["R-92", "R-92"]
    assert len({r.digest for r in admission.refused}) == 2


def test_an_object_too_large_is_refused_by_what_the_store_says(fed: SmallFederation) -> None:
    too_large = ObjectTooLarge("holds too much", subject=KEY)
    admission = PacketValidator(context=context(fed)).admit(
        [Arrival(key=KEY, size=10, error=too_large), Arrival(key=Keys.inbox(5, WHO, 1), size=10)]
    )
    assert [r.reason for r in admission.refused] == ["holds too much", "was not read"]
    listed = Arrival(key=KEY, size=LIMITS.max_update_bytes + 1)
    (refused,) = PacketValidator(context=context(fed)).admit([listed]).refused
    assert refused.reason.startswith("50001 bytes"), (
        "judged by its listing, before anything is read"
    )


def test_a_fault_of_the_store_is_no_fault_of_the_client(fed: SmallFederation) -> None:
    """The base of an update's changes cannot be read just now: the batch fails and is tried again;
    the client is not refused.
    """

    def base_of(client: str, digest: bytes) -> Update | None:
        raise TransientError("no answer came", subject="rounds/x")

    (arrival,) = arrive(fed, (0, {"update": deltas()}))
    with pytest.raises(TransientError):
        PacketValidator(context=context(fed, base_of=base_of)).admit([arrival])


def test_strays_are_recorded_but_cannot_fill_a_freeze(fed: SmallFederation) -> None:
    arrivals = [
        Arrival(key=f"inbox/00000005/{WHO}/junk-{i:04d}\n\x1b", size=1, data=b"x")
        for i in range(1000)
    ]
    refused = PacketValidator(context=context(fed)).admit(arrivals).refused
    assert len(refused) == 64
    assert "936 more" in refused[-1].reason
    assert all(r.key.isprintable() and len(r.key) <= 200 for r in refused)


def test_a_stray_is_named_by_its_key_as_far_as_it_can_be_shown() -> None:
    error = RefusedError("lies in no folder", rule="R-82", remedy="Write into your own")
    for key, shown in (
        ("x" * 200, "x" * 200),
        ("x" * 201, "'" + "x" * 199),
        ("x\n", r"'x\n'"),
        ("ä", r"'\xe4'"),
    ):
        refused = refused_as(key, error, None)
        assert (refused.key, refused.client, refused.made_for) == (shown, "", 0)


def test_a_refusal_has_its_own_remedy_or_that_of_its_kind() -> None:
    remedies = {
        with_remedy(kind("is wrong", remedy=own)).remedy
        for kind in (BoundsError, RefusedError)
        for own in ("", "Send it again tomorrow")
    }
    assert len(remedies) == 3
    assert {"Send it again tomorrow", "Correct the value and submit again"} < remedies


def test_a_reason_stays_short_and_printable(fed: SmallFederation) -> None:
    """What the sender wrote is quoted and cut: it reaches receipts, terminals and pages."""
    record = {"\x1b[31m" + "x" * 5000: 1}
    (arrival,) = arrive(
        fed, (0, {"body": pack([1, "Update", "", len(pack(record)), pack(record)])})
    )
    (refused,) = PacketValidator(context=context(fed)).admit([arrival]).refused
    assert len(refused.reason) <= 500
    assert refused.reason.isprintable()

    def base_of(client: str, digest: bytes) -> Update | None:
        raise BoundsError("long " * 1000, subject="x")

    (arrival,) = arrive(fed, (0, {"update": deltas()}))
    (refused,) = PacketValidator(context=context(fed, base_of=base_of)).admit([arrival]).refused
    assert len(refused.reason) == 500
