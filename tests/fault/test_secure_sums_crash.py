"""Whoever dies after whichever operation of a night of secure sums: what lies in the drop-box at
last is the same, no helper answers twice, and no client draws twice (R-165, R-173, R-191).

They die in memory, where a session of its own goes on with what they remembered. Processes that are
killed between two writes to their disks are in `test_secure_sums_killed`.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from hyperfed.client.helper_night import HelperNight
from hyperfed.crypto.envelope import PacketType, open_envelope, verify_envelope
from hyperfed.crypto.sealing import open_body
from hyperfed.errors import QuorumMissed
from hyperfed.privacy.moments import plan_moments
from hyperfed.protocol.object_keys import Keys, parse_key
from hyperfed.storage.store import ObjectStore
from hyperfed.testing.faults import FaultStore, Killed
from tests.central_night import CentralNight
from tests.noised_night import NoisedNight
from tests.secure_night import (
    NewNight,
    SecureNight,
    before_answer,
    before_confirmation,
    before_freeze,
    before_result,
    before_submit,
    later,
    shape,
)

Act = Callable[[SecureNight, ObjectStore], object]
SHOWN_ONCE = ("inbox", "openings", "noise", "result")
"""The kinds of objects of which no second draw may be offered to the store."""


def submits(night: SecureNight, store: ObjectStore) -> None:
    fed = night.federation
    session = fed.session("ward-1", store=store)
    session.submit(
        night.update_of("ward-1"), now=fed.opens(1) + timedelta(hours=1), plan=session.plan(1)
    )


def visits(now: Callable[[SecureNight], datetime]) -> Act:
    def visit(night: SecureNight, store: ObjectStore) -> None:
        session = night.federation.session("help-1", store=store)
        HelperNight(session, night.memories["help-1"]).visit(now=now(night))

    return visit


def runs(night: SecureNight, store: ObjectStore) -> None:
    runner = night.federation.runner(1, now=later(night), store=store)
    try:
        runner.run(1)
    except QuorumMissed:  # it waits for helpers
        assert runner.reader.result(1) is None


class Offered(FaultStore):
    """A store that remembers every byte string that is offered to it as a part of a sum, or of what
    a sum comes to: its noise, and its result.
    """

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner)
        self.parts: set[tuple[str, bytes]] = set()

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        if parse_key(key).kind in SHOWN_ONCE:
            self.parts.add((key, bytes(data)))
        return super().put_if_absent(key, data)


def check_guard(night: SecureNight) -> None:
    """A client is charged once for its share, and for nothing where there is none (R-191)."""
    fed = night.federation
    sent = bool(fed.objects(Keys.inbox(1, "ward-1", 0)))
    asked = plan_moments(fed.policy, 3).mechanisms if fed.policy.privacy == "shares" else ()
    guard = fed.memories["ward-1"].privacy_guard(fed.registry.budget)
    assert guard.accountant.mechanisms == asked * sent


def drawn_by(act_from: Callable[[NewNight], SecureNight], new: NewNight) -> tuple[str, ...]:
    """Return what each twin draws anew from here: the seed of its noise, which the ledger names."""
    return ("noise", "ledger") if (act_from, new) == (before_freeze, CentralNight) else ()


def told(night: SecureNight, key: str, data: bytes) -> bytes:
    """Return what a part of a sum says: a sealed answer may be sealed anew, and says the same."""
    fed = night.federation
    if fed.policy.privacy != "central" or not key.startswith(Keys.opening(1, "")):
        return data
    signed = verify_envelope(
        open_envelope(data, subject=key),
        expect=PacketType.OPENING,
        key_of=lambda _: fed.keys["help-1"].public.signing,
        subject=key,
    )
    return bytes(open_body(signed, fed.coordinator))


ACTS: dict[str, tuple[Callable[[NewNight], SecureNight], Act]] = {
    "submit": (before_submit, submits),
    "confirm": (before_confirmation, visits(lambda night: night.federation.night(1))),
    "freeze": (before_freeze, runs),
    "answer": (before_answer, visits(later)),
    "release": (before_result, runs),
}
NIGHTS: dict[str, NewNight] = {
    "exact": SecureNight,
    "noised": NoisedNight,
    "central": CentralNight,
}
CASES = [
    pytest.param(
        *case, new, id=f"{name}-{kind}", marks=[pytest.mark.slow] if case[1] is runs else []
    )
    for name, case in ACTS.items()
    for kind, new in NIGHTS.items()
]


@pytest.mark.parametrize(("before", "act", "new"), CASES)
def test_a_crash_after_any_operation_changes_nothing_of_what_lies_there(
    before: Callable[[NewNight], SecureNight], act: Act, new: NewNight
) -> None:
    start = before(new)
    calm = start.at_another(start.federation.objects())
    counting = FaultStore(calm.federation.store)
    act(calm, counting)
    drawn = drawn_by(before, new)
    expected = shape(calm.federation.objects(), drawn=drawn)
    assert counting.operations > 3
    for operation in range(counting.operations):
        twin = start.at_another(start.federation.objects())
        dying, again = Offered(twin.federation.store), Offered(twin.federation.store)
        dying.die_after(operation)
        with pytest.raises(Killed):
            act(twin, dying)
        shown = twin.federation.objects()
        act(twin, again)
        after = twin.federation.objects()
        assert shape(after, drawn=drawn) == expected, f"after a crash at operation {operation}"
        assert all(after[key] == data for key, data in shown.items()), "something changed"
        parts = {(key, told(twin, key, data)) for key, data in dying.parts | again.parts}
        assert len({key for key, _ in parts}) == len(parts), "a second draw was shown"
        check_guard(twin)
