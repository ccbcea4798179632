"""Baskets in private rounds: one mechanism for all their sums, the global mean made of noised ones,
and who is left out decided by attendance.
"""

import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from hyperfed.errors import BreakdownError, PrivacyError
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.operations.audit import audit
from hyperfed.packets import PathPack, PolicyPack, Update
from hyperfed.privacy.accountant import charges_of
from hyperfed.privacy.groups import Grouped, counted_groups, grouped_means
from hyperfed.privacy.mechanisms import PlannedRelease, plan_release
from hyperfed.privacy.noise_source import SeededNoise
from hyperfed.privacy.release import central_means
from hyperfed.privacy.slots import public_slots, slot_count
from hyperfed.protocol.machine import Why
from hyperfed.protocol.objects import Tombstone
from hyperfed.registry.registry import Budget
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit

NAMES = Vocabulary.of("a", "b", "c")
SLOTS = slot_count(3, (0, 1))
NIGHT = plan_release(epsilon=Decimal(1), delta=Decimal("0.00001"), clip_norm=1.0, slots=SLOTS)
GROUPS = {"": ("e",), "banks": ("a", "b"), "plants": ("c", "d")}
SHARES = {"": 0.2, "banks": 0.4, "plants": 0.4}
CENTRAL = PolicyPack(privacy="central", strategy="mean", trust_min=0, max_lag=1, basket_minimum=2)


def table(*effects: float) -> EdgeTable:
    pairs = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    update = Update.from_paths(
        [PathPack(s, t, 0, e, 1.0, 1.0) for (s, t), e in zip(pairs, effects, strict=False)],
        measured=[0, 1, 2],
    )
    assert update.edges is not None
    return update.edges


def grouped(
    tables: dict[str, EdgeTable],
    night: PlannedRelease = NIGHT,
    groups: dict[str, tuple[str, ...]] = GROUPS,
    shares: dict[str, float] = SHARES,
) -> Grouped:
    return grouped_means(
        tables, dict.fromkeys(tables, 1.0), groups, shares, night, vocabulary=NAMES, lags=(0, 1)
    )


@pytest.fixture
def without_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "hyperfed.privacy.release.discrete_gaussian",
        lambda sigma, size, random_bytes: np.zeros(size, dtype=np.int64),
    )


@pytest.mark.usefixtures("without_noise")
def test_one_client_cannot_move_all_the_sums_together_by_more_than_the_sensitivity() -> None:
    """All integers that are noised, end to end: what the one charge has to cover."""
    rng = np.random.default_rng(5)

    def integers(tables: dict[str, EdgeTable]) -> np.ndarray:
        return np.concatenate(
            [
                np.rint(g.released.mean * len(GROUPS[g.name]) * NIGHT.bound)
                for g in grouped(tables).groups
            ]
        )

    for _ in range(100):
        tables = {client: table(*rng.normal(0, 2, 6)) for client in "abcde"}
        who = str(rng.choice(list("abcde")))
        tables[who] = table(*(rng.normal(0, 10.0 ** rng.integers(-3, 6), 6)))
        moved = integers(tables) - integers(tables | {who: table()})
        assert float(np.sqrt((moved**2).sum())) <= NIGHT.mechanism.sensitivity
        assert np.count_nonzero([np.any(part) for part in np.split(moved, len(GROUPS))]) <= 1


def test_the_global_mean_is_made_of_noised_means_and_of_nothing_else() -> None:
    found = grouped({client: table(0.6, 0.8) for client in "abcde"})
    again = np.asarray(sum(g.share * g.released.mean for g in found.groups))
    assert np.allclose(found.whole.mean, again, rtol=0, atol=1e-12)
    # every slot of every group has noise
    assert all(len(set(g.released.mean.tolist())) == SLOTS for g in found.groups)
    assert found.whole.std == pytest.approx(
        math.sqrt(sum((g.share * g.released.std) ** 2 for g in found.groups))
    )
    assert [g.released.std for g in found.groups] == pytest.approx(
        [NIGHT.noise_std, NIGHT.noise_std / 2, NIGHT.noise_std / 2]
    )
    assert found.whole.clients == 5


def test_every_group_draws_noise_of_its_own_of_the_stated_width() -> None:
    wide = {c: table() for c in "abcde"}
    draws = np.array(
        [[g.released.mean / g.released.std for g in grouped(wide).groups] for _ in range(60)]
    )
    assert draws.std() == pytest.approx(1, rel=0.08)
    flat = draws.transpose(1, 0, 2).reshape(3, -1)
    assert np.abs(np.corrcoef(flat) - np.eye(3)).max() < 5 / math.sqrt(flat.shape[1])


def test_one_group_of_all_is_the_release_without_baskets() -> None:
    tables = {"a": table(0.5), "b": table(0.25)}
    plain = central_means(
        list(tables.values()),
        [1.0, 0.5],
        NIGHT,
        vocabulary=NAMES,
        lags=(0, 1),
        noise=SeededNoise(b"s" * 32, b"f" * 32),
    )
    one = grouped_means(
        tables,
        {"a": 1.0, "b": 0.5},
        {"": ("a", "b")},
        {"": 1.0},
        NIGHT,
        vocabulary=NAMES,
        lags=(0, 1),
        noise=SeededNoise(b"s" * 32, b"f" * 32),
    )
    assert np.array_equal(one.whole.mean, plain.mean)
    assert (one.whole.std, one.whole.clients) == (plain.std, plain.clients)


@pytest.mark.parametrize(
    ("groups", "shares", "why"),
    [
        ({"x": ("a", "b"), "y": ("b", "c")}, {"x": 0.5, "y": 0.5}, "exactly one"),
        ({}, {}, "at least one"),
        ({"x": ("a",), "y": ("b",)}, {"x": 0.5, "y": 0.6}, "sum to 1"),
    ],
)
def test_groups_that_one_mechanism_does_not_cover_are_refused(
    groups: dict, shares: dict, why: str
) -> None:
    with pytest.raises(PrivacyError, match=why):
        grouped({client: table() for client in "abc"}, groups=groups, shares=shares)


def test_selection_draws_once_for_all_groups_and_chooses_over_all_clients() -> None:
    """Neither group alone has enough clients for the threshold."""
    night = plan_release(
        epsilon=Decimal(8), delta=Decimal("0.00001"), clip_norm=1.0, slots=1, edges_per_client=2
    )
    assert night.selection is not None
    half = math.ceil(night.selection.clients_needed * 0.8)
    clients = [f"c{i}" for i in range(2 * half)]
    groups = {"x": tuple(clients[:half]), "y": tuple(clients[half:])}
    found = grouped({c: table(0.5) for c in clients}, night, groups, {"x": 0.5, "y": 0.5})
    assert [g.released.keys.tolist() for g in found.groups] == [table(0.5).keys.tolist()] * 2


def test_who_is_left_out_is_decided_by_numbers_of_clients() -> None:
    kept, left_out = counted_groups(GROUPS, minimum=2, minimum_groups=2)
    assert list(kept) == ["banks", "plants"]
    assert left_out == (("", "1 counted clients, 2 are needed"),)
    with pytest.raises(BreakdownError, match="2 of 3 groups have a model, 3 are needed"):
        counted_groups(GROUPS, minimum=2, minimum_groups=3)


# -- through the whole round -----------------------------------------------------------------------


def with_baskets(
    policy: PolicyPack, sizes: dict[str, int], *, budget: Budget | None = None
) -> SmallFederation:
    """A federation whose registry has these baskets."""
    fed = SmallFederation(clients=sum(sizes.values()), policy=policy, budget=budget)
    names = [name for name, size in sizes.items() for _ in range(size)]
    fed.amend(
        clients=tuple(
            replace(c, basket=name) for c, name in zip(fed.registry.clients, names, strict=True)
        )
    )
    return fed


def model_of(fed: SmallFederation, round_id: int = 1) -> GlobalModel:
    found = fed.reader().result(round_id)
    assert found is not None
    assert isinstance(found.value, GlobalModel)
    return found.value


@pytest.mark.parametrize("place", ["central", "local"])
def test_a_night_with_baskets_costs_what_one_without_costs_and_publishes_both_layers(
    place: str,
) -> None:
    fed = with_baskets(replace(CENTRAL, privacy=place), {"banks": 3, "plants": 4, "small": 1})
    assert fed.play(1).why is Why.COMMITTED
    plain = SmallFederation(policy=replace(CENTRAL, privacy=place, basket_minimum=0))
    plain.play(1)
    charged, alone = (f.reader().ledger()[0].entry.mechanisms for f in (fed, plain))
    assert charged == alone
    model = model_of(fed)
    said = model.privacy
    assert said is not None
    assert (said.epsilon, said.clients) == (Decimal("1.0926"), 7)
    assert [(b.name, b.clients, bool(b.left_out)) for b in model.baskets] == [
        ("", 1, True),
        ("banks", 3, False),
        ("plants", 4, False),
    ]
    # by size, none above the cap of one half
    assert [b.share for b in model.baskets] == pytest.approx([0, 0.5, 0.5])
    assert len(said.group_noise_std) == 2
    assert said.noise_std == pytest.approx(0.5 * math.hypot(*said.group_noise_std))
    assert "2 baskets and noised one by one" in model.statement
    state = fed.reader().state(1)
    assert state is not None
    assert [c.weight for c in state.value.clients] == [1.0] * 7 + [0.0]
    assert audit(fed.store, fed.fingerprint, fed.coordinator).findings == ()


def test_baskets_models_show_effects_with_their_own_noise_and_no_counts() -> None:
    policy = replace(CENTRAL, privacy_epsilon=Decimal(40))
    fed = with_baskets(policy, {"banks": 15, "plants": 15}, budget=Budget(epsilon=Decimal(100)))
    fed.play(1)
    model = model_of(fed)
    assert model.privacy is not None
    true = set(
        public_slots(4, (0, 1))[
            np.isin(public_slots(4, (0, 1)), fed.update("site-01").edges.keys)
        ].tolist()
    )  # type: ignore[union-attr]
    for basket, std in zip(model.baskets, model.privacy.group_noise_std, strict=True):
        assert true <= set(basket.edges.keys.tolist())
        assert not basket.evidence.support.any()
        assert not basket.evidence.samples.any()
        assert (basket.evidence.std_error == std).all()


def test_too_few_groups_end_before_the_reserve_and_cost_nothing() -> None:
    fed = with_baskets(replace(CENTRAL, minimum_groups=2), {"banks": 3, "plants": 1})
    for night in (1, 2):
        fed.open(night)
        fed.submit_all(round_id=night)
        assert fed.run(night).why is Why.VOID
        result = fed.reader().result(night)
        assert result is not None
        assert isinstance(result.value, Tombstone)
        assert result.value.rule == "R-118"
    assert charges_of(fed.reader().ledger()) == []
