"""What every attack shares: a small federation with an open round, and the proof that a refused
object moved nothing.
"""

from collections.abc import Callable

import pytest

from hyperfed.errors import QuorumMissed
from hyperfed.protocol.machine import Why
from hyperfed.protocol.objects import Refused
from hyperfed.testing.federation import SmallFederation

VICTIM = "site-03"


@pytest.fixture
def fed() -> SmallFederation:
    """Three clients; round 1 needs all of them; the first two have submitted. Whatever the attack
    drops would be the third update.
    """
    federation = SmallFederation(auditors=1)
    federation.open(1, quorum=3)
    federation.submit_all(round_id=1, but=[VICTIM])
    return federation


@pytest.fixture
def refuse() -> Callable[..., Refused]:
    """refuse(fed, key, rule): the object at `key` is refused by `rule`, with object, reason and
    remedy; the round does not go on for it; nothing was decided, reserved or published, and no copy
    of it is kept.
    """

    def check(fed: SmallFederation, key: str, rule: str, *, round_id: int = 1) -> Refused:
        before = fed.decided()
        judged = fed.judge(round_id)
        assert key not in [a.key for a in judged.admitted]
        refused = [r for r in judged.refused if r.key == key]
        assert [r.rule for r in refused] == [rule], refused
        assert refused[0].reason
        assert refused[0].remedy
        with pytest.raises(QuorumMissed):
            fed.run(round_id)
        assert fed.decided() == before, "a refused object moved something"
        assert fed.accepted(round_id).keys() == {item.digest for item in judged.admitted}, (
            "a refused object was kept as accepted"
        )
        return refused[0]

    return check


@pytest.fixture
def commit() -> Callable[..., None]:
    """commit(fed): the honest twin: the round is run, counts `counted` updates and is committed,
    each client's receipt proven.
    """

    def check(fed: SmallFederation, *, round_id: int = 1, counted: int = 3) -> None:
        stage = fed.run(round_id)
        assert (stage.why, stage.counted) == (Why.COMMITTED, counted)
        fates = [
            receipt.fate.value
            for c in fed.clients
            if (receipt := fed.receipt(c, round_id)) is not None
        ]
        assert fates.count("counted") + fates.count("late") == counted

    return check
