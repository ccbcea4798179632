"""Who sends to whom: regular, connected, rotating, and the same for everyone."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from hyperfed.errors import ConfigError
from hyperfed.gossip import GossipPlan
from tests.unit.gossip.noised import plan_of


def _matrix(plan: GossipPlan, epoch: int) -> npt.NDArray[np.float64]:
    """The averaging matrix of one epoch."""
    at = {client: i for i, client in enumerate(plan.clients)}
    matrix = np.eye(len(at))
    for client in plan.clients:
        for peer in plan.neighbours(epoch, client):
            matrix[at[peer], at[client]] += 1
    return matrix / (plan.peers + 1)


@pytest.mark.parametrize(("clients", "degree"), [(2, 6), (5, 2), (7, 6), (8, 6), (48, 6), (50, 4)])
def test_each_epochs_graph_is_regular_symmetric_and_connected(clients: int, degree: int) -> None:
    plan = plan_of(clients, degree=degree)
    for epoch in (0, 1, 9):
        matrix = _matrix(plan, epoch)
        np.testing.assert_array_equal(matrix, matrix.T)
        np.testing.assert_allclose(matrix.sum(axis=0), 1.0)
        assert (np.linalg.matrix_power(matrix, clients) > 0).all()


def test_the_graph_changes_with_epoch_round_and_seed_and_with_nothing_else() -> None:
    plan = plan_of(48)
    assert plan.order(0) == plan_of(48).order(0)
    others = [
        plan.order(1),
        replace(plan, round=6).order(0),
        replace(plan, seed=b"t" * 32).order(0),
    ]
    assert len({plan.order(0), *others}) == 4


@pytest.mark.parametrize(("clients", "degree"), [(48, 6), (200, 6), (200, 4)])
def test_the_rate_is_the_matrixs_own(clients: int, degree: int) -> None:
    """The mean squared eigenvalue without the first, which is what a random order leaves."""
    plan = plan_of(clients, degree=degree)
    eigenvalues = np.sort(np.linalg.eigvalsh(_matrix(plan, 0)))[:-1]
    assert plan.contraction() == pytest.approx(float(np.sqrt((eigenvalues**2).mean())), rel=1e-9)


def test_a_basket_that_is_a_complete_graph_agrees_in_one_epoch() -> None:
    assert plan_of(7).contraction() == 0.0
    assert plan_of(7).epochs_for(1e-9) == 1
    assert plan_of(48).epochs_for(1e-2) == 5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"clients": ("a",)}, "1 clients; at least two"),
        ({"clients": ("b", "a")}, "2 clients; at least two are needed, in ascending order"),
        ({"degree": 3}, "degree 3; it is an even number"),
        ({"degree": 0}, "degree 0"),
        ({"round": 0}, "round 0"),
        ({"epochs": 0}, "0 epochs"),
        ({"seed": b"s"}, "a seed of 1 bytes"),
        ({"norm_bound": 0.0}, "norm bound of 0.0"),
        ({"norm_bound": float("inf")}, "norm bound of inf"),
    ],
)
def test_what_is_no_plan_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan_of(8, **changes)


def test_questions_outside_the_plan_are_refused() -> None:
    plan = plan_of(8)
    for epoch, client in ((10, "c001"), (-1, "c001"), (0, "ghost")):
        with pytest.raises(ConfigError, match="the plan has epochs 0 to 9 and 8 clients"):
            plan.neighbours(epoch, client)


def test_the_pages_snippet_runs() -> None:
    page = (Path(__file__).parents[3] / "docs" / "gossip.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], names)  # noqa: S102 - our own page
    for clients, epochs in re.findall(r"^\| ([\d,]+) \| (\d+) \| \d+ \|", page, re.MULTILINE):
        assert plan_of(int(clients.replace(",", ""))).epochs_for(1e-2) == int(epochs)
