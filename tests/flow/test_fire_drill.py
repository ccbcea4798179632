"""The fire drill as an option of the round: its counts are in the outcome and in the UI, and a
private round does not begin with it.
"""

from collections.abc import Callable
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.federation_round import federation_round
from hyperfed.simulator.attackers import ATTACKS
from hyperfed.testing.federation import SmallFederation

Found = Callable[..., tuple[SmallFederation, str]]


def _night(federation: SmallFederation, name: str) -> Any:
    names = {"drop_box": name, "coordinator_keys": name, "federation_policy": name}
    return federation_round(now=federation.night(1), fire_drill=True, return_state=True, **names)


def test_a_night_with_a_fire_drill_says_how_many_liars_it_would_have_stood(found: Found) -> None:
    federation, name = found()
    federation.open(1)
    federation.submit_all()
    state = _night(federation, name)
    assert state.is_completed(), state.message
    rows = state.result()["fire_drill"]
    assert len(rows) == len(ATTACKS)
    assert all(row["clients"] == len(federation.clients) for row in rows)
    with get_client(sync_client=True) as client:
        shown = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["fire-drill-00000001"]))
        )
    assert len(shown) == 1


def test_a_private_round_refuses_it_before_anything_is_read(found: Found) -> None:
    federation, name = found()
    federation.open(1, privacy="central", strategy="mean", trust_min=0.0)
    federation.submit_all()
    before = federation.objects()
    state = _night(federation, name)
    assert state.is_failed()
    assert "without noise" in state.message
    assert federation.objects() == before
