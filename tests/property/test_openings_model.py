"""Rounds of secure sums hold in every reachable state of `tests.property.openings_model`."""

import pytest

from tests.property.openings_model import OPENING_MISTAKES, OpeningExplorer, OpeningSetup
from tests.property.protocol_world import Violation


@pytest.mark.parametrize(
    "setup",
    [
        OpeningSetup(budget=2),
        OpeningSetup(budget=1, split=True, aims=(1, 1)),
        OpeningSetup(budget=1, lies=True, aims=(1, 1)),
        pytest.param(OpeningSetup(budget=2, split=True, lies=True), marks=pytest.mark.slow),
        OpeningSetup(budget=2, silent=True),
        pytest.param(OpeningSetup(budget=2, late=True), marks=pytest.mark.slow),
        pytest.param(OpeningSetup(budget=1, crashes=1, aims=(1, 1)), marks=pytest.mark.slow),
        OpeningSetup(budget=1, shares=2, late=True, aims=(1, 1)),
        OpeningSetup(budget=1, private=True, aims=(1, 1)),
        pytest.param(OpeningSetup(budget=1, shares=1, split=True), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_rounds_of_secure_sums_hold_in_every_state(setup: OpeningSetup) -> None:
    assert OpeningExplorer(setup).explore() > 1_000


@pytest.mark.parametrize(("mistake", "why"), OPENING_MISTAKES.items())
def test_every_mistake_with_openings_is_found(mistake: str, why: str) -> None:
    setup = OpeningSetup(
        budget=2,
        aims=(1, 1) if mistake in ("freezes_few", "forgets_noise") else (1, 2),
        split=mistake in ("second_answer", "t_plus_one"),
        lies=mistake == "any_answer",
        late=mistake in ("manifest_over", "freezes_few"),
        silent=mistake == "counts_late",
        shares={"few_shares": 2, "freezes_few": 2, "charge_back": 1}.get(mistake, 0),
        private=mistake == "forgets_noise",
        mistake=mistake,
    )
    with pytest.raises(Violation, match=why):
        OpeningExplorer(setup).explore()
