"""What a freeze builds on, as the merge reads it: the very state that it names, or nothing is
released (R-67).
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from hyperfed.coordinator.runner import Why
from hyperfed.crypto.envelope import PacketType
from hyperfed.errors import RoundError
from hyperfed.packets import PolicyPack
from hyperfed.protocol.documents import sign_object
from hyperfed.protocol.object_keys import Keys
from hyperfed.testing.federation import SmallFederation

POLICIES = [PolicyPack(), PolicyPack(privacy="central", strategy="mean", trust_min=0, max_lag=1)]


def _flattered(fed: SmallFederation) -> bytes:
    """Round 1's state as the coordinator's key could sign it anew."""
    state = fed.reader().state(1)
    assert state is not None
    first, *others = state.value.clients
    value = replace(state.value, clients=(replace(first, alpha=99.0), *others))
    return sign_object(
        Keys.state(1), PacketType.STATE, value, key_pair=fed.coordinator, time=fed.night(1)
    ).data


@pytest.mark.parametrize("policy", POLICIES, ids=["plain", "private"])
@pytest.mark.parametrize("how", ["gone", "forged"])
@pytest.mark.parametrize("released", [False, True], ids=["before the release", "before the state"])
def test_a_base_state_that_changed_after_the_freeze_ends_the_round(
    policy: PolicyPack, how: str, released: bool
) -> None:
    """Without it the round would be committed with a state made of nothing: no trust, no sequence,
    no window of any client.
    """
    fed = SmallFederation(policy=policy)
    fed.play(1)
    fed.open(2)
    fed.submit_all(round_id=2)
    runner = fed.runner(2)
    runner.freeze(2, runner.validate(runner.collect(2)))
    fed.runner(2).reserve(2)
    if released:
        fed.runner(2).release(2)
    objects = fed.store._objects  # type: ignore[attr-defined]
    forged = _flattered(fed)
    kept = objects.pop(Keys.state(1))
    if how == "forged":
        objects[Keys.state(1)] = forged
    before = fed.objects()
    acts: list[Callable[[], object]] = [
        lambda: fed.runner(2).release(2),
        lambda: fed.runner(2).conclude(2),
        lambda: fed.run(2),
    ]
    for act in acts[1:] if released else acts:  # a result that is there is not computed again
        with pytest.raises(
            RoundError, match="is not the state that rounds/00000002/freeze builds on"
        ) as caught:
            act()
        assert (caught.value.rule, caught.value.subject) == ("R-67", Keys.state(1))
    assert fed.objects() == before
    objects[Keys.state(1)] = kept
    assert fed.run(2).why is Why.COMMITTED
    state = fed.reader().state(2)
    assert state is not None
    assert {(c.rounds_seen, c.windows) for c in state.value.clients} == {(2, (1, 2))}
