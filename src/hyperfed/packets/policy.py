"""Define a round's policy: what clients share, how it is merged, and how it is kept private."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from hyperfed.codec.versions import since
from hyperfed.errors import BoundsError, PrivacyError
from hyperfed.packets.fields import ascending_lags, decimal, index, integer, keep_checked, number
from hyperfed.packets.knowledge import Knowledge
from hyperfed.packets.summing import PAYLOADS, PRIVATE_ENGINES, SumsPolicy
from hyperfed.tables.tables import MAX_LAG

__all__ = [
    "AGGREGATIONS",
    "AGGREGATION_RULES",
    "CUTS",
    "DEFAULT_LAGS",
    "PRIVACY",
    "STRATEGIES",
    "PolicyPack",
]

STRATEGIES = ("consensus", "union", "intersection", "weighted", "mean")
"""Names of the ways to merge graphs (`hyperfed.reconciler`)."""
CUTS = ("vote", "fdr")
"""What keeps a merged edge: its weighted mean vote, or its q-value."""
AGGREGATIONS = ("seen", "secure-sum")
"""What the coordinator sees: each client's message, or their sum alone."""
PRIVACY = ("none", "central", "shares", "local")
"""Where noise is added: nowhere, by the coordinator, by the clients in shares, or by each client.

Each trusts fewer than the one before it: with shares no party adds all of the noise.
"""
DEFAULT_LAGS = (1, 2)
"""The lags that a plan names where its operator names none (`coordinator.opening.RoundTerms`).

They are lags of the built-in engine. Lag 0 is none: where honest clients cannot look, one liar that
says it did would be the only voter.
"""
AGGREGATION_RULES = (
    "bounded-trust",
    "mean",
    "adaptive",
    "median",
    "trimmed-mean",
    "geometric-median",
    "krum",
    "multi-krum",
    "bulyan",
    "centered-clipping",
    "mda",
    "smea",
)
"""Names of the rules of `hyperfed.aggregation` by which consensus can weigh clients."""


@dataclass(frozen=True, slots=True)
class PolicyPack:
    """Says what clients share, how it is merged, and what noise keeps it private.

    The policy is part of the signed plan. Raises BoundsError where a field is out of range, or
    where fields contradict each other. Raises PrivacyError where `privacy` is asked for and the
    result of the merge has no known sensitivity.
    """

    g_min: float = 0.0
    """Smallest |effect| with which an edge is shared (the minimum gain), 0 or more. In private
    rounds it is also the smallest |mean| that is published.
    """
    stability_min: float = 0.1
    """Smallest stability with which an edge is shared, in [0, 1]. The default is low because weak
    rows help the merge.
    """
    n_proposals: int = 100_000
    """Largest number of edges in an update. A client that has more shares its strongest."""
    max_lag: int = 64
    """Longest lag of a shared edge, in steps, where `lags` names none. No lag is longer."""
    strategy: str = "consensus"
    """How graphs are merged: "consensus", "union", "intersection", "weighted" or "mean"."""
    vote_min: float = 0.3
    """Smallest |weighted mean vote| with which an edge stays, in [0, 1] (consensus and mean). With
    strategy "weighted" it is the smallest share of weight times confidence. Union and intersection
    keep edges whatever their vote.
    """
    trust_min: float = 0.15
    """Smallest trust in the base state with which a client is counted, in [0, 1]."""
    trust_nights: int = 3
    """Rounds in which a client must have been observed before `trust_min` applies to it."""
    max_staleness: int = 3
    """Largest number of rounds by which an update may be late and still count."""
    staleness_decay: float = 0.9
    """An update that is `s` rounds late has the weight `staleness_decay**s`. It lies in [0.001, 1].
    """
    n_cap: int = 0
    """Where above 0, weights are also proportional to min(n, n_cap) samples; at 0 they do not
    depend on samples.
    """
    sealed: bool = True
    """Whether the body of every update must be sealed to the coordinator."""
    rule: str = "bounded-trust"
    """What consensus weighs clients by: the name of a rule in `hyperfed.aggregation.RULES`. It
    applies to rounds without privacy.
    """
    f: int = 0
    """How many clients may be arbitrary, which `rule` must bear. It applies to rounds without
    privacy.
    """
    weigh_by: str = "rule"
    """"rule", or "reputation": then a client's past trust takes the place of the rule. It applies
    to rounds without privacy.
    """
    organisation_cap: float = 1.0
    """Together, the clients of one organisation weigh at most as much as this many clients; at 0
    there is no cap. It applies to rounds without privacy.
    """
    basket_minimum: int = 0
    """Counted clients that a basket needs; at 0 there are no baskets, and all clients are one
    group.
    """
    basket_maximum: int = 1000
    """Largest number of members of a basket, at least 2 * basket_minimum - 1. A basket with more is
    split.
    """
    group_weights: str = "size"
    """What groups weigh by in the global merge: "size", "trust" (only without privacy) or "equal".
    """
    minimum_groups: int = 1
    """Groups with a model that the merge of groups (layer 2) needs."""
    influence_cap: float = 0.5
    """Largest share of one basket in the global merge, in [1e-6, 1]. With so few baskets that their
    equal share is above it, it is that equal share.
    """
    privacy: str = "none"
    """"none"; "central": the coordinator adds noise to the sum of the clients' clipped effects;
    "shares": each client adds a share of the noise of a secure sum; or "local": each client adds
    noise to its own effects.
    """
    privacy_epsilon: Decimal = Decimal(1)
    """Epsilon by which the noise of a night is chosen, in (0, 1000]."""
    privacy_delta: Decimal = Decimal("0.00001")
    """Delta by which the noise of a night is chosen, in (0, 0.5]."""
    clip_norm: float = 1.0
    """L2 bound of one client's effects, in units of the effects."""
    record_bound: float = 0.0
    """How far one record may move a client's effects (L2). It is used by budgets whose unit is the
    record.
    """
    discovery: str = "public"
    """"public": every possible edge gets noise; or "selected": only edges that enough clients name
    get it, and those clients are counted privately.
    """
    edges_per_client: int = 20
    """Largest number of edges that one client names where `discovery` is "selected"."""
    lags: tuple[int, ...] = field(default=(), metadata=since(2))
    """The lags that every client looks at, in steps, ascending: 0 joins values of the same time, 1
    a value to the one after it. A shared edge has one of them. Where none is named, each client's
    engine chooses, which cannot be merged as well: one looks where another did not.
    """
    cut: str = field(default="vote", metadata=since(3))
    """What keeps an edge by consensus and mean: "vote": |weighted mean vote| >= `vote_min`; or
    "fdr": a q-value of at most `fdr_max`, which belongs to rounds without privacy.
    """
    fdr_max: float = field(default=0.05, metadata=since(3))
    """Largest share of false edges among those that the cut "fdr" keeps, in (0, 1]."""
    knowledge: Knowledge = field(default=Knowledge(), metadata=since(5))
    """What is known of the graph beforehand: tiers, forbidden and required edges. Clients' engines
    hold to it, and a shared edge is none that it forbids.
    """
    payload: str = field(default="edges", metadata=since(6))
    """What clients share: their "edges"; their "statistics", whose sum the coordinator finds the
    model in; or "both": sums decide which edges there are, votes the directions that sums leave
    open.
    """
    statistics: SumsPolicy = field(default=SumsPolicy(), metadata=since(6))
    """How a model is found in the sum of clients' statistics."""
    aggregation: str = field(default="seen", metadata=since(8))
    """"seen": the coordinator sees each client's message; or "secure-sum": it sees their sum alone,
    which the registry's helpers open. The latter belongs to the payload "statistics", and to
    "edges" with noise in shares.
    """
    show_clients: bool = field(default=False, metadata=since(7))
    """Whether members see each client's own estimates of the model's edges, under pseudonyms. It
    belongs to rounds without privacy of a registry whose minimum support is 1.
    """
    noise_shares: int = field(default=0, metadata=since(9))
    """With privacy "shares": how many shares, of clients who neither collude nor help, give a night
    the noise of `privacy_epsilon`. With fewer the round is void; with more it costs less. 0
    elsewhere.
    """

    def __post_init__(self) -> None:
        kind = "PolicyPack"
        keep_checked(self, g_min=number(kind, "g_min", self.g_min, 0))
        for name in ("stability_min", "vote_min", "trust_min", "staleness_decay"):
            keep_checked(self, **{name: number(kind, name, getattr(self, name), 0, 1)})
        if self.staleness_decay < 1e-3:
            raise BoundsError(
                f"staleness_decay is {self.staleness_decay!r}; at least 0.001 is needed",
                subject=kind,
            )
        whole = {
            "n_proposals": 1 << 32,
            "max_lag": MAX_LAG + 1,
            "trust_nights": 367,
            "max_staleness": 367,
            "n_cap": 1 << 53,
        }
        for name, below in whole.items():
            keep_checked(self, **{name: index(kind, name, getattr(self, name), below)})
        keep_checked(self, lags=ascending_lags(kind, self.lags))
        if self.lags and self.lags[-1] > self.max_lag:
            raise BoundsError(
                f"lags names {self.lags[-1]}, and max_lag is {self.max_lag}",
                subject=kind,
                remedy="Raise max_lag, or leave that lag out",
            )
        if not isinstance(self.knowledge, Knowledge):
            raise BoundsError(
                f"knowledge is a {type(self.knowledge).__name__}; a Knowledge is needed",
                subject=kind,
            )
        if type(self.sealed) is not bool:
            raise BoundsError(
                f"sealed is {self.sealed!r:.80}; true or false is needed", subject=kind
            )
        if self.strategy not in STRATEGIES:
            raise BoundsError(
                f"strategy is {self.strategy!r:.80}; one of {', '.join(STRATEGIES)} is needed",
                subject=kind,
            )
        if type(self.show_clients) is not bool:
            raise BoundsError(
                f"show_clients is {self.show_clients!r:.80}; true or false is needed", subject=kind
            )
        self._check_cut(kind)
        self._check_robustness(kind)
        self._check_privacy(kind)
        self._check_payload(kind)
        self._check_aggregation(kind)

    @property
    def noised_by_clients(self) -> bool:
        """Whether each client draws noise, so that it sends one message a round (R-98)."""
        return self.privacy in ("shares", "local")

    @property
    def allowed_lags(self) -> Sequence[int]:
        """The lags that a shared edge may have, ascending: `lags`, or 0 to `max_lag`."""
        return self.lags or range(self.max_lag + 1)

    def _check_cut(self, kind: str) -> None:
        if self.cut not in CUTS:
            raise BoundsError(
                f"cut is {self.cut!r:.80}; one of {', '.join(CUTS)} is needed", subject=kind
            )
        keep_checked(self, fdr_max=number(kind, "fdr_max", self.fdr_max, 1e-9, 1))
        if self.cut == "fdr" and self.strategy not in ("consensus", "mean"):
            raise BoundsError(
                f"the cut fdr belongs to the strategies consensus and mean, not {self.strategy!r}",
                subject=kind,
                remedy='Set cut = "vote"',
            )

    def _check_robustness(self, kind: str) -> None:
        for name, rules in (
            ("rule", AGGREGATION_RULES),
            ("weigh_by", ("rule", "reputation")),
            ("group_weights", ("size", "trust", "equal")),
        ):
            if getattr(self, name) not in rules:
                raise BoundsError(
                    f"{name} is {getattr(self, name)!r:.80}; one of {', '.join(rules)} is needed",
                    subject=kind,
                )
        keep_checked(
            self,
            f=index(kind, "f", self.f, 1 << 20),
            organisation_cap=number(kind, "organisation_cap", self.organisation_cap, 0, 1e9),
        )
        keep_checked(
            self,
            influence_cap=number(kind, "influence_cap", self.influence_cap, 1e-6, 1),
            basket_minimum=index(kind, "basket_minimum", self.basket_minimum),
        )
        keep_checked(
            self,
            basket_maximum=integer(
                kind,
                "basket_maximum",
                self.basket_maximum,
                max(1, 2 * self.basket_minimum - 1),
                1 << 24,
            ),
        )
        keep_checked(
            self, minimum_groups=integer(kind, "minimum_groups", self.minimum_groups, 1, 1 << 20)
        )
        if (
            self.rule != "bounded-trust" or self.f or self.weigh_by != "rule"
        ) and self.strategy != "consensus":
            raise BoundsError(
                f"rule {self.rule!r}, f = {self.f}, weigh_by {self.weigh_by!r} belong to the "
                f"strategy consensus, not {self.strategy!r}",
                subject=kind,
            )
        if self.f and (self.rule in ("mean", "adaptive") or self.weigh_by == "reputation"):
            raise BoundsError(
                f"f is {self.f}, and neither mean, adaptive nor reputation bears a fault",
                subject=kind,
            )

    def _check_privacy(self, kind: str) -> None:
        if self.privacy not in PRIVACY or self.discovery not in ("public", "selected"):
            raise BoundsError(
                f"privacy is {self.privacy!r:.40}, discovery {self.discovery!r:.40}; "
                f"{', '.join(PRIVACY)} and public or selected are known",
                subject=kind,
            )
        keep_checked(
            self,
            privacy_epsilon=decimal(kind, "privacy_epsilon", self.privacy_epsilon, Decimal(1000)),
        )
        keep_checked(
            self, privacy_delta=decimal(kind, "privacy_delta", self.privacy_delta, Decimal("0.5"))
        )
        keep_checked(
            self,
            clip_norm=number(kind, "clip_norm", self.clip_norm, 1e-9, 1e9),
            record_bound=number(kind, "record_bound", self.record_bound, 0, 1e9),
        )
        keep_checked(
            self,
            edges_per_client=integer(kind, "edges_per_client", self.edges_per_client, 1, 1 << 20),
            noise_shares=index(kind, "noise_shares", self.noise_shares, 1 << 20),
        )
        self._check_shares(kind)
        if self.privacy == "none":
            return
        wrong = {
            # one client may move a median, Krum or votes by trust without bound
            "strategy='mean'": self.strategy != "mean",
            "trust_min=0": self.trust_min > 0,  # above 0, clients are left out by their data
            "n_cap=0": self.n_cap > 0,  # above 0, weights depend on data
            "group_weights='size'": self.basket_minimum > 0 and self.group_weights == "trust",
        }
        if self.show_clients:
            raise PrivacyError(
                f"privacy={self.privacy!r} and show_clients: clients' estimates have no noise",
                subject=kind,
                remedy="Set show_clients = false",
            )
        if self.cut == "fdr":
            raise PrivacyError(
                f"privacy={self.privacy!r} and the cut fdr: a noised mean has no q-value, because "
                "how much clients differ would need noise of its own",
                subject=kind,
                remedy='Set cut = "vote"; a private round shows what stands out of its noise',
            )
        if any(wrong.values()):
            raise PrivacyError(
                f"privacy={self.privacy!r} needs a result with a known sensitivity, and "
                f"strategy {self.strategy!r} with trust_min {self.trust_min:g}, "
                f"n_cap {self.n_cap} and group_weights {self.group_weights!r} has none",
                subject=kind,
                remedy=(
                    f"Set {', '.join(name for name, bad in wrong.items() if bad)}; robust rules "
                    "and trust weights carry no privacy label"
                ),
            )

    def _check_shares(self, kind: str) -> None:
        if (self.privacy == "shares") == (self.noise_shares > 0):
            return
        raise PrivacyError(
            f"privacy is {self.privacy!r}, and noise_shares {self.noise_shares}",
            subject=kind,
            rule="R-190",
            remedy="State for how many shares noise is chosen, at least the registry's `together`"
            if self.privacy == "shares"
            else "Leave noise_shares out, or set privacy = 'shares'",
        )

    def _check_payload(self, kind: str) -> None:
        if self.payload not in PAYLOADS or not isinstance(self.statistics, SumsPolicy):
            raise BoundsError(
                f"payload is {self.payload!r:.40}; one of {', '.join(PAYLOADS)} is needed, and a "
                "SumsPolicy for statistics",
                subject=kind,
            )
        if self.payload == "edges":
            return
        engine = self.statistics.engine
        fits = self.lags and (0 not in self.lags if engine == "var" else self.lags == (0,))
        if not fits:
            raise BoundsError(
                f"payload {self.payload!r} with the engine {engine} and lags {list(self.lags)}",
                subject=kind,
                remedy="Name the lags: some above 0, and no other, for var; 0 alone for pc, fci "
                "and ges",
            )
        private = self.privacy != "none"
        wrong = {
            "strategy = 'consensus' or 'mean'": self.strategy not in ("consensus", "mean"),
            "rule = 'bounded-trust' and f = 0": self.rule != "bounded-trust" or self.f > 0,
            "weigh_by = 'rule'": self.weigh_by != "rule",
        } | (self._wrong_in_private() if private else self._wrong_in_open())
        if any(wrong.values()):
            raise (PrivacyError if private else BoundsError)(
                f"payload {self.payload!r} does not go with the rest of the policy",
                subject=kind,
                remedy=f"Set {', '.join(name for name, bad in wrong.items() if bad)}",
            )

    def _check_aggregation(self, kind: str) -> None:
        if self.aggregation not in AGGREGATIONS:
            raise BoundsError(
                f"aggregation is {self.aggregation!r:.40}; {', '.join(AGGREGATIONS)} are known",
                subject=kind,
            )
        secure = self.aggregation == "secure-sum"
        if self.privacy == ("local" if secure else "shares"):
            raise PrivacyError(
                f"privacy={self.privacy!r} and aggregation={self.aggregation!r}: shares of noise "
                "are added up under masks, and a message that is noised already needs none",
                subject=kind,
                rule="R-190",
                remedy="Set privacy = 'none', 'central' or 'shares' with aggregation = "
                "'secure-sum', or another privacy than 'shares' with aggregation = 'seen'",
            )
        if not secure:
            return
        if self.payload == "edges":
            self._check_masked_effects(kind)
        wrong = {
            "payload = 'statistics', or 'edges' with noise in shares": self.payload == "both",
            "strategy = 'mean'": self.strategy != "mean",
            "max_staleness = 0": self.max_staleness > 0,
            "trust_min = 0": self.trust_min > 0,
            "n_cap = 0": self.n_cap > 0,
            "organisation_cap = 0": self.organisation_cap > 0,
            "basket_minimum = 0": self.basket_minimum > 0,
            "show_clients = false": self.show_clients,
            # the bias follows from each client's own number of rows
            "statistics.short_bias = 'kept'": self.statistics.engine == "var"
            and self.statistics.short_bias != "kept"
            and self.privacy == "none",
        }
        if any(wrong.values()):
            raise BoundsError(
                "secure sums do not go with the rest of the policy: nobody sees a single message, "
                "so that none is weighed, held, compared or counted late",
                subject=kind,
                rule="R-177",
                remedy=f"Set {', '.join(name for name, bad in wrong.items() if bad)}",
            )

    def _check_masked_effects(self, kind: str) -> None:
        if self.privacy == "shares" and self.discovery == "public":
            return
        raise PrivacyError(
            f"effects under masks with privacy={self.privacy!r} and discovery={self.discovery!r}: "
            "few clients report an edge, so that whoever sees a sum without noise sees them, and "
            "nobody sees who names an edge",
            subject=kind,
            rule="R-200",
            remedy="Set privacy = 'shares' and discovery = 'public', or payload = 'statistics', or "
            "aggregation = 'seen'",
        )

    def _wrong_in_private(self) -> dict[str, bool]:
        """Return what a private round of statistics needs, and whether it is missing (R-185)."""
        sums = self.statistics
        return {
            "payload = 'statistics'": self.payload != "statistics",
            "statistics.row_norm above 0": sums.row_norm <= 0,
            "statistics.form = 'values'": sums.form != "values",  # a rank depends on all rows
            f"statistics.engine of {', '.join(PRIVATE_ENGINES)}": sums.engine
            not in PRIVATE_ENGINES,
            "basket_minimum = 0": self.basket_minimum > 0,
            "max_staleness = 0": self.max_staleness > 0,  # a late row has another weight
            "record_bound = 0": self.record_bound > 0,  # the clip bounds a record
            "discovery = 'public'": self.discovery != "public",
        }

    def _wrong_in_open(self) -> dict[str, bool]:
        """Return what a round of statistics without noise needs, and whether it is missing."""
        sums = self.statistics
        return {"statistics.row_norm = 0": sums.row_norm > 0 or sums.centring != "client"}
