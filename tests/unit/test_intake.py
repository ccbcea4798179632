"""Shards of an inbox judge apart what one batch judges together."""

from dataclasses import replace

import pytest

from hyperfed.coordinator.intake import combined, shards_of
from hyperfed.errors import TransientError
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def busy() -> SmallFederation:
    """Nine clients; a correction, an equivocation, a forgery, and eighty objects of nobody's."""
    federation = SmallFederation(clients=9)
    federation.open()
    federation.submit_all()
    federation.submit("site-02", federation.update("site-02", effect=0.7))
    federation.put(federation.envelope("site-05", sequence=1), "site-05", slot=1)
    federation.put(federation.envelope("site-03", keys=federation.keys["site-04"], sequence=9), "site-03", slot=1)
    for i in range(80):
        federation.store.put_if_absent(f"inbox/00000001/Nobody-{i:02d}/0", b"?")
    return federation


@pytest.mark.parametrize("count", [1, 2, 3, 9, 50])
def test_shards_together_say_what_the_whole_batch_says(busy: SmallFederation, count: int) -> None:
    runner = busy.runner()
    arrivals = runner.collect(1)
    whole = runner.validate(arrivals)
    shards = shards_of(arrivals, count)
    assert min(count, 5) <= len(shards) <= count
    assert sorted(key for shard in shards for key in shard.keys) == sorted(arrivals.keys)
    parts = [busy.runner().validate(shard) for shard in shards]
    assert combined(parts) == whole
    assert combined(parts[::-1]) == whole
    assert (len(whole.admitted), sum(r.rule == "R-92" for r in whole.refused), sum(not r.client for r in whole.refused)) == (8, 2, 64)


def test_a_clients_objects_lie_in_one_shard_and_shards_are_of_about_one_size(busy: SmallFederation) -> None:
    shards = shards_of(busy.runner().collect(1), 3)
    clients = [{key.split("/")[2] for key, _ in shard.keys} for shard in shards]
    assert not clients[0] & clients[1]
    assert not clients[1] & clients[2]
    sizes = [sum(size for _, size in shard.keys) for shard in shards]
    assert max(sizes) < 2 * min(sizes)


def test_shards_judged_under_different_base_states_are_not_put_together(busy: SmallFederation) -> None:
    judged = busy.judge()
    with pytest.raises(TransientError, match="different registries"):
        combined([judged, replace(judged, base_state=b"1" * 32)])
