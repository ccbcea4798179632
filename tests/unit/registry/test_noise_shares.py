"""How many shares protect a client: beside a count of every coalition there is (R-190, R-192)."""

import itertools
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfed.registry.noise_shares import shares_left, too_few_shares
from hyperfed.registry.records import ClientRecord, KeyRecord
from hyperfed.registry.secure_sums import HelperRecord, SecureSums
from hyperfed.testing.federation import key_of

HELPERS = ("help-1", "help-2", "help-3", "help-4")


def rules_of(colluding: int) -> SecureSums:
    helpers = tuple(HelperRecord(client_id=name) for name in HELPERS)
    return SecureSums(helpers=helpers, together=3, colluding_clients=colluding)


def clients_of(organisation_of: Mapping[str, str]) -> tuple[ClientRecord, ...]:
    """Return the records of wards, and of helpers, each of an organisation of its own."""
    everybody = {**{helper: f"{helper} ltd" for helper in HELPERS}, **organisation_of}
    return tuple(
        ClientRecord(
            client_id=client,
            organisation=organisation,
            keys=(KeyRecord(keys=key_of(client).public),),
        )
        for client, organisation in sorted(everybody.items())
    )


def by_coalitions(
    colluding: int, organisation_of: Mapping[str, str], counted: Sequence[str]
) -> int:
    """Return the fewest shares that any coalition leaves to any client outside it."""
    helping = {f"{helper} ltd" for helper in HELPERS}
    others = {client: organisation_of[client] for client in counted}
    honest = {client: name for client, name in others.items() if name not in helping}
    organisations = sorted(set(honest.values()))
    left = [
        sum(name not in coalition for name in honest.values()) - 1
        for coalition in itertools.combinations(organisations, min(colluding, len(organisations)))
    ]
    return max(0, min(left, default=0))


@given(
    places=st.lists(st.sampled_from(["a", "b", "c", "d", "help-1 ltd"]), min_size=1, max_size=8),
    colluding=st.integers(1, 3),
    there=st.sets(st.integers(0, 7)),
)
def test_the_count_is_that_of_the_worst_coalition(
    places: list[str], colluding: int, there: set[int]
) -> None:
    organisation_of = {f"ward-{i}": place for i, place in enumerate(places)}
    counted = [f"ward-{i}" for i in sorted(there) if i < len(places)]
    found = shares_left(rules_of(colluding), clients_of(organisation_of), counted)
    assert found == by_coalitions(colluding, organisation_of, counted)


@pytest.mark.parametrize(
    ("organisation_of", "left"),
    [
        ({"ward-1": "a", "ward-2": "b", "ward-3": "c", "ward-4": "d"}, 2),
        # a helper's own wards may be told by it
        ({"ward-1": "a", "ward-2": "b", "ward-3": "c", "ward-4": "help-1 ltd"}, 1),
        # all wards of one house collude at once
        ({"ward-1": "a", "ward-2": "a", "ward-3": "a", "ward-4": "b"}, 0),
        ({"ward-1": "a", "ward-2": "a", "ward-3": "b", "ward-4": "b"}, 1),
    ],
    ids=["apart", "of a helper", "three of one", "two of two"],
)
def test_organisations_collude_whole_and_helpers_leave_no_share(
    organisation_of: dict[str, str], left: int
) -> None:
    clients, counted = clients_of(organisation_of), sorted(organisation_of)
    rules = rules_of(1)
    assert shares_left(rules, clients, counted) == left
    assert shares_left(rules, clients, [*counted, *HELPERS]) == left
    assert "shares of noise are left" in too_few_shares(rules, clients, counted, least=left + 1)
