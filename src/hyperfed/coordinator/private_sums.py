"""Release a private round of statistics: sum, noise, and the model of the noised sum (R-188).

1. The exact sum exists nowhere else in a round, and leaves `private_sums_model` with its noise.
2. Edges come from the noised sum and public numbers alone (`model_of_moments`), which costs nothing
   more. The noised sum is published in the model, so that whoever reads it finds the same edges,
   without any key.
3. An edge stays with confidence * stability >= vote_min. Its standard error is that of sampling and
   of the noise; counts of clients and rows behind it are not released.

What it does not do: choose the noise (`privacy.moments`), draw its seed, or write.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hyperfed.coordinator.opened_model import not_opened
from hyperfed.engines.structure import to_semantic
from hyperfed.hypergraph.evidence import Evidence, StoreEvidence
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.kernels.layout import Z95
from hyperfed.packets import CausalSemanticPack, PolicyPack
from hyperfed.packets.knowledge import forbidden_edges
from hyperfed.privacy.accountant import PrivacyAccountant
from hyperfed.privacy.mechanisms import PlannedRelease
from hyperfed.privacy.moments import released_sum
from hyperfed.privacy.noise_source import NoiseSource
from hyperfed.privacy.policy import statement_of_moments
from hyperfed.reconciler.summed import discovered
from hyperfed.secure_aggregation import OpenedSum
from hyperfed.secure_aggregation.noised_statistics import noised_sum_of, noised_total
from hyperfed.statistics import Statistics
from hyperfed.statistics.noise import noised_sums
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["model_of_moments", "opened_private_model", "private_sums_model"]


def private_sums_model(
    statistics: Mapping[str, Statistics],
    night: PlannedRelease,
    *,
    about: Mapping[str, Any],
    after: PrivacyAccountant,
    noise: NoiseSource,
) -> GlobalModel:
    """Return the global model of a private round of statistics.

    statistics: those of each client. about: what the model says of its round. after: the
    accountant, with this round charged. Raises PrivacyError where they are not those of the round,
    and AggregationError where the engine cannot work on the noised sum.
    """
    policy, vocabulary = about["policy"], about["vocabulary"]
    moments, std = released_sum(statistics, night, noise=noise)
    statement = statement_of_moments(
        policy, night, vocabulary=vocabulary, clients=len(statistics), after=after
    )
    graph = model_of_moments(
        moments, policy=policy, vocabulary=vocabulary, clients=len(statistics), std=std
    )
    return GlobalModel.of(graph, **about, privacy=statement, moments=moments)


def opened_private_model(
    opened: OpenedSum | None,
    night: PlannedRelease,
    *,
    about: Mapping[str, Any],
    after: PrivacyAccountant,
    noise: NoiseSource,
) -> GlobalModel:
    """Return the global model of a round of secure sums with noise (R-195, R-208).

    Clients have added it in shares, or it is central: then `noise` gives it here, and nothing looks
    at the sum before. Every client's share is part of the noise that tests and intervals count,
    also those of clients who may collude. Raises AggregationError where nobody has opened the sum,
    where no rows have it, or where the engine cannot work on it.
    """
    policy, vocabulary, clients = about["policy"], about["vocabulary"], about["clients"]
    if opened is None:
        raise not_opened(about["round_id"])
    central = night.mechanism.place == "central"
    moments = noised_sum_of(
        noised_total(opened.total, night, noise) if central else opened.total,
        night,
        clients=clients,
        variables=len(vocabulary),
        lags=tuple(policy.lags),
        rows_min=policy.statistics.rows_min,
    )
    statement = statement_of_moments(
        policy, night, vocabulary=vocabulary, clients=clients, after=after
    )
    graph = model_of_moments(
        moments, policy=policy, vocabulary=vocabulary, clients=clients, std=statement.noise_std
    )
    return GlobalModel.of(
        graph,
        **about,
        privacy=statement,
        moments=moments,
        opened_by=opened.helpers,
        unchecked=opened.unchecked,
    )


def model_of_moments(
    moments: Statistics, *, policy: PolicyPack, vocabulary: Vocabulary, clients: int, std: float
) -> HypergraphStore:
    """Return the graph that a noised sum has: a pure function of public numbers.

    std: the standard deviation of the noise on each moment. Raises AggregationError.
    """
    sums = noised_sums(
        moments,
        variables=len(vocabulary),
        clients=clients,
        std=std,
        centred=policy.statistics.centring == "client",
    )
    found = discovered(sums, policy, vocabulary)
    measured, table = found.to_edges(vocabulary)
    table = table.take(
        (np.abs(table.vote) >= policy.vote_min)
        & ~forbidden_edges(policy.knowledge, vocabulary.names, table.source, table.target)
    )
    rows = len(table)
    nothing = np.zeros(rows)
    low, high = (
        table.effect.astype(np.float64) if end is None else end.astype(np.float64)
        for end in (table.ci_low, table.ci_high)
    )
    evidence = Evidence(
        vote=table.vote.astype(np.float64),
        support=nothing,
        reporting=nothing,
        measured_by=np.full(rows, clients),
        samples=nothing,
        std_error=(high - low) / (2 * Z95),
        tau2=nothing,
        i2=nothing,
        pooled=np.ones(rows, dtype=bool),
    )
    structure = to_semantic(found, vocabulary, table)
    confounders = [] if structure is None else list(structure.confounders)
    return HypergraphStore(
        edges=table,
        semantic=CausalSemanticPack(confounders=confounders),
        measured=measured,
        lags=moments.lags,
        vocabulary=vocabulary,
        evidence=StoreEvidence(edges=evidence, confounder_scores=(1.0,) * len(confounders)),
    )
