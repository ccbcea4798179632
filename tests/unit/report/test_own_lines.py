"""Single clients' lines in rounds of sums: what each client's own rows say, or none at all."""

from datetime import timedelta

import numpy as np
import pytest

from hyperfed.config import DEFAULT_LIMITS
from hyperfed.coordinator.frozen import FrozenSets
from hyperfed.errors import QuorumMissed
from hyperfed.packets import PolicyPack, SumsPolicy
from hyperfed.report.site import SiteContent
from hyperfed.report.site.own_lines import lines_of
from hyperfed.testing.federation import SmallFederation
from tests.secure_night import VOCABULARY, SecureNight, rows, update

pytestmark = pytest.mark.unit


def content(fed: SmallFederation) -> SiteContent:
    """What the operator's pages show, who opens with the coordinator's key."""
    reader = fed.reader()
    sets = FrozenSets(
        store=reader.store, reader=reader, key_pair=fed.coordinator, limits=DEFAULT_LIMITS
    )
    return SiteContent.read(reader, fed.session(fed.clients[0]).check_ledger(), last=1, sets=sets)


def least_squares(data: np.ndarray, causes: list[int], target: int) -> dict[int, float]:
    """The effect of each cause on the target a step later, by one client's rows alone."""
    before, after = data[:-1, causes], data[1:, target]
    effects = np.linalg.lstsq(before - before.mean(0), after - after.mean(), rcond=None)[0]
    return dict(zip(causes, effects.tolist(), strict=True))


@pytest.mark.parametrize("shown", [False, True])
def test_a_line_is_what_the_clients_own_rows_say(shown: bool) -> None:
    policy = PolicyPack(
        payload="statistics",
        lags=(1,),
        vote_min=0.5,
        show_clients=shown,
        statistics=SumsPolicy(short_bias="kept"),
    )
    fed = SmallFederation(clients=5, policy=policy, vocabulary=VOCABULARY)
    fed.open(1)
    for seed, client in enumerate(fed.clients):
        fed.submit(client, update(seed))
    fed.run(1)
    written = content(fed)
    assert written.lines is not None
    assert written.lines.names == fed.clients
    model = written.models[-1]
    assert len(model.edges) >= 2
    members = lines_of(model)
    assert (members is not None) is shown, "members see the lines where the plan says so"
    pairs = list(zip(model.edges.source.tolist(), model.edges.target.tolist(), strict=True))
    for edge, (source, target) in enumerate(pairs):
        causes = [cause for cause, caused in pairs if caused == target]
        effects = {name: line["effect"] for name, line in written.lines.rows(edge)}
        assert effects == pytest.approx(
            {
                client: least_squares(rows(seed), causes, target)[source]
                for seed, client in enumerate(fed.clients)
            }
        )
        if members is not None:
            pseudonymous = {name: line["effect"] for name, line in members.rows(edge)}
            assert sorted(pseudonymous.values()) == sorted(effects.values())
            assert not set(pseudonymous) & set(fed.clients)


def test_a_round_of_secure_sums_has_no_lines_of_single_clients() -> None:
    night = SecureNight()
    night.confirmed()
    fed = night.federation
    with pytest.raises(QuorumMissed, match="helpers have answered"):
        fed.run(1)
    night.visits(now=fed.night(1) + timedelta(minutes=5))
    fed.run(1, now=fed.night(1) + timedelta(minutes=6))
    written = content(fed)
    assert len(written.models[-1].edges) > 0
    assert written.lines is None
