"""The bucket shows a client an older world: the ledger without its tail, an older registry, an
earlier night's result (R-50).
"""

import pytest

from hyperfed.errors import HyperfedError
from hyperfed.protocol.object_keys import Keys
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.federation import SmallFederation


@pytest.fixture
def fed() -> SmallFederation:
    """Two nights; the client has pulled the second."""
    federation = SmallFederation()
    federation.play(1)
    federation.play(2)
    assert federation.session("site-01").pull(now=federation.night(2)) is not None
    return federation


def forget(fed: SmallFederation, *prefixes: str) -> None:
    assert isinstance(fed.store, MemoryStore)
    for key in [k for k in fed.store._objects if k.startswith(prefixes)]:
        del fed.store._objects[key]


def test_the_second_night_taken_back(fed: SmallFederation) -> None:
    marks = fed.memories["site-01"].marks
    forget(fed, Keys.ledger(3), Keys.ledger(4), "rounds/00000002/")
    with pytest.raises(HyperfedError) as caught:
        fed.session("site-01").pull(now=fed.night(2))
    assert caught.value.rule == "R-50"
    assert fed.memories["site-01"].marks == marks, "what was seen is not forgotten"


@pytest.mark.parametrize("also", [(), ("rounds/00000002/",)])
def test_the_coordinator_does_not_go_on_from_a_ledger_without_its_tail(
    fed: SmallFederation, also: tuple[str, ...]
) -> None:
    """The ledger's tail alone, or all of the night: the next plan names its commit."""
    fed.open(3)
    fed.submit("site-01", round_id=3)
    fed.submit("site-02", round_id=3)
    forget(fed, Keys.ledger(4), Keys.ledger(3), *also)
    before = fed.decided()
    with pytest.raises(HyperfedError) as caught:
        fed.run(3)
    assert caught.value.rule == "R-73"
    assert fed.decided() == before


def test_the_honest_twin_pulls_again(fed: SmallFederation) -> None:
    again = fed.session("site-01").pull(now=fed.night(2))
    assert again is not None
    assert again.value.round == 2
