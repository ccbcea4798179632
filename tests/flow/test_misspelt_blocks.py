"""A policy block that is missing, of another type, or misspelt: no flow signs a plan by what is
left of it. Whoever may use Prefect can write such a block, and so can an operator in a hurry.
"""

from collections.abc import Callable
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.actions import BlockDocumentUpdate

from blocks import FederationPolicy
from flows.federation_round import federation_round
from flows.open_round import open_round
from hyperfed.testing.federation import SmallFederation

Found = Callable[..., tuple[SmallFederation, str]]
GOOD = {"variables": ["heat", "load", "wear", "faults"], "policy": {"vote_min": 0.25}}


def rewrite(document: Any, data: dict[str, Any]) -> None:
    """Write a block's document through the API, which holds it to no schema."""
    with get_client(sync_client=True) as client:
        update = BlockDocumentUpdate(data=data, merge_existing_data=False)
        client.update_block_document(document, update)


def opening(federation: SmallFederation, blocks: str, policy: str | None = None) -> None:
    names = {"drop_box": blocks, "coordinator_keys": blocks, "federation_policy": policy or blocks}
    open_round(round_id=1, now=federation.opens(1), **names)


@pytest.mark.slow
def test_nothing_is_signed_by_a_policy_block_that_is_not_understood(
    found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the honest twin at the end, which is signed as it stands."""
    monkeypatch.setenv("HYPERFED_REHEARSAL", "1")
    federation, name = found()
    block, before = FederationPolicy.load(name)._block_document_id, federation.objects()
    for document, said in (
        (GOOD | {"polciy": {"privacy": "central"}}, "polciy: no such field"),
        (GOOD | {"policy": {"privcy": "central"}}, "privcy: is no field of the policy pack"),
        (GOOD | {"quorum": "many"}, "quorum"),
        (GOOD | {"variables": []}, "names no variables"),
    ):
        rewrite(block, document)
        with pytest.raises(Exception) as caught:
            opening(federation, name)
        told, error = "", caught.value
        while error is not None:  # the run's log shows the causes, too
            told, error = f"{told}\n{error}", error.__cause__ or error.__context__
        assert said in told
        assert federation.objects() == before
    rewrite(block, GOOD)
    with pytest.raises(ValueError, match="nobody"):
        opening(federation, name, policy="nobody")
    with pytest.raises(ValueError, match="nobody"):
        federation_round(
            round_id=1,
            drop_box=name,
            coordinator_keys=name,
            federation_policy="nobody",
            now=federation.night(1),
        )
    assert not federation.objects("rounds/")
    opening(federation, name)
    assert federation.plan(1).policy.vote_min == 0.25
