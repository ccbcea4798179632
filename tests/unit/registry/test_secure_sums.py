"""The registry's helpers and blocks, and what their roots may not sign (R-168)."""

from dataclasses import replace
from typing import Any

import pytest

from hyperfed.codec import PayloadCodec
from hyperfed.errors import RegistryError
from hyperfed.registry.differences import differences
from hyperfed.registry.registry import Registry
from hyperfed.registry.secure_sums import HelperRecord, SecureSums
from hyperfed.testing.federation import SmallFederation

HELPERS = tuple(HelperRecord(client_id=f"site-0{n}") for n in (1, 2, 3, 4))
BLOCK = tuple(f"site-0{n}" for n in (5, 6, 7, 8))


def _secure_sums(**changes: Any) -> SecureSums:
    fields = {"helpers": HELPERS, "together": 3, "colluding_clients": 1, "blocks": (BLOCK,)}
    return SecureSums(**(fields | changes))


@pytest.fixture(scope="module")
def registry() -> Registry:
    return SmallFederation(clients=9).registry


def test_a_registry_with_helpers_reads_back(registry: Registry) -> None:
    named = replace(registry, secure_sums=_secure_sums())
    assert PayloadCodec().decode(PayloadCodec().encode(named), Registry) == named


def test_a_registry_without_helpers_keeps_its_earlier_form(registry: Registry) -> None:
    assert b"secure_sums" not in PayloadCodec().encode(registry)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"helpers": HELPERS[:3]}, "3 helpers; 4 to 7"),
        ({"colluding_helpers": 2}, "at most 3 may have to"),
        ({"helpers": (*HELPERS[:3], HelperRecord(client_id="site-99"))}, "no client"),
        ({"together": 4}, "4 organisations; 5 are needed"),
        ({"blocks": (BLOCK, BLOCK)}, "stands in two blocks"),
        ({"blocks": (("site-01", "site-05", "site-06", "site-07"),)}, "3 organisations; 4"),
        ({"blocks": (BLOCK[::-1],)}, "ascend"),
        ({"together": 1}, "at least 2"),
        ({"together": 1 << 20}, "at least 2"),
        ({"together": 3.0}, "at least 2"),
        ({"colluding_clients": -1}, "at least 0"),
        ({"helpers": (*HELPERS[:3], replace(HELPERS[3], first_round=0))}, "first round"),
        ({"helpers": (*HELPERS[:3], replace(HELPERS[3], first_round=1 << 53))}, "first round"),
    ],
)
def test_what_hides_nobody_is_refused(
    registry: Registry, changes: dict[str, Any], why: str
) -> None:
    """Helpers' own organisations count for nobody: they may collude with the coordinator."""
    with pytest.raises(RegistryError, match=why) as refused:
        replace(registry, secure_sums=_secure_sums(**changes))
    assert refused.value.rule == "R-168"


def test_what_just_hides_somebody_is_taken(registry: Registry) -> None:
    late = replace(HELPERS[3], first_round=(1 << 53) - 1)
    named = _secure_sums(together=2, colluding_clients=0, helpers=(*HELPERS[:3], late))
    replace(registry, secure_sums=named)
    SecureSums(helpers=HELPERS, together=(1 << 20) - 1)


def test_two_helpers_of_one_organisation_are_refused(registry: Registry) -> None:
    twin = replace(registry.clients[1], organisation=registry.clients[0].organisation)
    clients = (registry.clients[0], twin, *registry.clients[2:])
    with pytest.raises(RegistryError, match="one organisation"):
        replace(registry, clients=clients, secure_sums=_secure_sums())


def test_whoever_signs_a_registry_reads_who_helps_and_which_blocks(registry: Registry) -> None:
    changes = differences(registry, replace(registry, secure_sums=_secure_sums()))
    assert "secure_sums, blocks: none -> site-05, site-06, site-07, site-08" in changes
    assert any("site-01 from round 1; site-02 from round 1" in line for line in changes)
