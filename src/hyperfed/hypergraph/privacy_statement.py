"""State what a private release protects: in fields for a machine, in sentences for a person.

1. Every private result carries a statement; a result without one claims nothing.
2. epsilon and delta are those of the integers that were noised, computed by RDP: they are what
   holds, not what was asked for.
3. What is not covered is part of the statement.

Source: DESIGN section 6.

What it does not do: it does not compute (`mechanisms`, `accountant`).
"""

import math
from dataclasses import dataclass, field
from decimal import Decimal

from hyperfed.codec.versions import since
from hyperfed.errors import PrivacyError

__all__ = ["PrivacyStatement", "not_covered"]

_COLLUSION = "a collusion of more clients or helpers than the registry names"
_NOT_COVERED = {
    "central": (
        "who takes part and when",
        "the size and timing of messages",
        "the coordinator and its auditors, who see the sums before their noise and every update",
        "trust scores and states, which only they can read",
        "interventions and whatever else clients publish elsewhere",
        "the time that drawing the noise takes",
    ),
    "shares": (
        "who takes part and when",
        "the size and timing of messages",
        "what a client publishes elsewhere",
        "clients that do not follow the protocol, who protect themselves only",
        _COLLUSION,
        "the time that drawing the noise takes",
    ),
    "local": (
        "who takes part and when",
        "the size and timing of messages",
        "what a client publishes elsewhere",
        "clients that do not follow the protocol, who protect themselves only",
        "the time that drawing the noise takes",
    ),
}

_SUM_SEEN = (
    "the coordinator and its auditors, who see the sum before its noise, but no client's numbers"
)
_ROWS = "how many rows each client has"
_ROWS_OF_ALL = (
    "the sum of all clients' numbers of rows, which has no noise: nights with different clients "
    "tell one client's number"
)

_ADDED_UP = {
    "rdp": "added up as Rényi DP of noise fixed in advance",
    "basic": "added up by basic composition",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyStatement:
    """Holds everything that a private release says about itself.

    Raises PrivacyError for an unknown place, unit, discovery or release, and for numbers that are
    not finite or not positive.
    """

    place: str
    """Where the noise is added: "central", "shares" or "local"."""
    unit: str
    """Whose data are protected: a "client" or a "record"."""
    relation: str
    """What neighbouring inputs are; "zero-out": the unit's contribution is zero or not."""
    discovery: str
    """"public" where every slot of the vocabulary was noised, "selected" where only some were."""
    slots: int
    """The number of values that were noised."""
    vocabulary: bytes
    """The digest of the vocabulary."""
    clip_norm: float
    """The bound on the L2 norm of a client's effects."""
    record_bound: float
    """The bound on the influence of one record; 0 where the unit is the client."""
    clients: int
    """The number of clients whose effects were summed; it is public."""
    mechanism: str
    """The name of the noise mechanism."""
    sigma: int
    """The standard deviation of the noise, in integer units; that of one share with "shares"."""
    sensitivity: int
    """How far one unit moves the integers at most."""
    grid: int
    """The number of integer units in a clip."""
    noise_std: float
    """The standard deviation of the noise on a released mean."""
    group_noise_std: tuple[float, ...]
    """The standard deviation of the noise on each basket's own means, ascending by basket name.

    It is empty without baskets.
    """
    cut: float
    """The size below which means are not shown."""
    threshold: float
    """The number of clients that an edge needs to be selected half of the time; 0 for "public"."""
    epsilon: Decimal
    """The epsilon of this round."""
    delta: Decimal
    """The delta of this round."""
    total_epsilon: Decimal
    """The epsilon of the whole ledger with this round, added up by `composition`."""
    total_delta: Decimal
    """The delta of the whole ledger with this round, added up by `composition`."""
    composition: str
    """How nights are added up: "rdp" or "basic"."""
    budget_epsilon: Decimal
    """The epsilon that is never exceeded."""
    budget_delta: Decimal
    """The delta that is never exceeded."""
    not_covered: tuple[str, ...]
    """What is not covered, in words."""
    released: str = field(default="effects", metadata=since(7))
    """What was noised: means of clients' "effects"; or sums of "moments" of clipped rows, where
    `clip_norm` bounds a row, `record_bound` its influence, and `grid` steps are a squared clip.
    """
    shares: int = field(default=0, metadata=since(9))
    """With "shares", how many shares protect each client: those of clients who neither collude nor
    help, without its own; else 0.
    """

    def __post_init__(self) -> None:
        if (
            self.place not in _NOT_COVERED
            or self.unit not in ("client", "record")
            or self.discovery not in ("public", "selected")
            or self.released not in ("effects", "moments")
        ):
            raise PrivacyError(
                "names no place, unit, discovery or release we know", subject="privacy statement"
            )
        numbers = (
            self.epsilon,
            self.delta,
            self.total_epsilon,
            self.total_delta,
            self.budget_epsilon,
            self.budget_delta,
        )
        if (
            not all(n.is_finite() and n >= 0 for n in numbers)
            or min(self.sigma, self.sensitivity, self.grid, self.clients) < 1
            or (self.place == "shares") != (self.shares > 0)
        ):
            raise PrivacyError(
                "numbers of noise are positive, of budgets finite", subject="privacy statement"
            )

    @property
    def sentences(self) -> str:
        """The statement in words."""
        what = "one record of one client" if self.unit == "record" else "one client"
        return (
            f"Differentially private for {what}: with and without its contribution (counted as "
            "zero; that it took part is public), what is released "
            f"here has nearly the same law, epsilon {_plain(self.epsilon)} and delta "
            f"{_plain(self.delta)} tonight, "
            f"epsilon {_plain(self.total_epsilon)} and delta {_plain(self.total_delta)} with "
            "all nights before "
            f"({_ADDED_UP.get(self.composition, self.composition)}), never above "
            f"{_plain(self.budget_epsilon)} and {_plain(self.budget_delta)}. "
            f"{self._of_moments if self.released == 'moments' else self._of_effects}"
            "Not covered: "
            f"{'; '.join(self.not_covered)}."
        )

    @property
    def _of_moments(self) -> str:
        """What was released where moments were."""
        where = (
            "to their sum the coordinator"
            if self.place == "central"
            else "each client to its own sums"
        )
        shares = self._of_shares
        return (
            f"Released are {self.slots} sums of products over the rows of {self.clients} clients, "
            f"in public units of the vocabulary {self.vocabulary.hex()[:12]}, and what is computed "
            "from them and nothing else. A record is one row, not a person. Each client clips each "
            f"row to L2 norm {self.clip_norm:g} before lags are built, so that one row moves the "
            f"sums by at most {self.record_bound:.4g}, and rounds the sums to whole numbers, "
            f"{self.grid} to a squared clip; {where} adds {self.mechanism} noise of standard "
            f"deviation {self.sigma} where one row moves the whole numbers by at most "
            f"{self.sensitivity}. {shares}On a sum that is {self.noise_std:.4g}; tests and "
            "intervals count it. "
        )

    @property
    def _of_shares(self) -> str:
        """What the charge counts where noise is in shares."""
        if self.place != "shares":
            return ""
        return (
            "Nobody sees a message, but the sum that helpers open. The charge counts the noise of "
            f"{self.shares} of the {self.clients} clients: of those who neither help nor may "
            "collude, without the client itself. "
        )

    @property
    def _of_effects(self) -> str:
        """What was released where means of effects were."""
        chosen = (
            f"all {self.slots} possible edges of the vocabulary {self.vocabulary.hex()[:12]}, "
            "whether or not anybody has them"
            if self.discovery == "public"
            else f"the {self.slots} edges that enough clients name, by a count noised for this "
            f"choice (about {self.threshold:.0f} clients are needed)"
        )
        attested = (
            f" (each client attests that one record moves them by at most {self.record_bound:g})"
            if self.unit == "record"
            else ""
        )
        where = (
            "to their sum the coordinator"
            if self.place == "central"
            else "each client to its own message"
        )
        shares = self._of_shares
        return (
            f"Released are means over {self.clients} clients of effects on {chosen}. Each "
            f"client's effects are clipped to L2 norm {self.clip_norm:g}"
            f"{attested} and rounded to integers, {self.grid} to a clip; {where} adds "
            f"{self.mechanism} noise of standard deviation {self.sigma} where "
            f"one {self.unit} moves the integers by at most {self.sensitivity}. {shares}On a mean "
            f"that is {self.noise_std:.3g}; "
            f"means below {self.cut:.3g} are not shown. {self._baskets}"
        )

    @property
    def clients_needed(self) -> int:
        """The number of clients that must hold an edge for it to be shown half of the time.

        The number is for noise like this round's, where every such client spends its whole clip on
        the edge.
        """
        ratio = self.cut / self.clip_norm
        return max(
            1,
            math.ceil(self.clients * (ratio if self.place == "central" else ratio**2)),
            math.ceil(self.threshold),
        )

    @property
    def _baskets(self) -> str:
        if not self.group_noise_std:
            return ""
        least, most = min(self.group_noise_std), max(self.group_noise_std)
        width = f"{least:.3g}" if least == most else f"{least:.3g} to {most:.3g}"
        return (
            f"Sums are taken in {len(self.group_noise_std)} baskets and noised one by one; a "
            "client is in one of them, so that all of them, and the global "
            "mean, which is computed from the noised ones, cost what one sum costs. On a "
            f"basket's own mean the noise is {width}. "
        )


def not_covered(place: str, *, moments: bool, masked: bool = False) -> tuple[str, ...]:
    """Return what noise at a place does not cover, in words.

    moments: whether sums of moments are released, beside which stand numbers of rows. masked:
    whether nobody sees a single message.
    """
    told = _NOT_COVERED[place]
    if masked and place == "central":
        return (*told[:2], _SUM_SEEN, _COLLUSION, *told[4:], _ROWS_OF_ALL)
    if not moments:
        return told
    return (*told[:2], _ROWS_OF_ALL, *told[2:]) if place == "shares" else (*told, _ROWS)


def _plain(number: Decimal) -> str:
    """Return the number without trailing zeros.

    So the words are the same whether the numbers were computed or have travelled.
    """
    return f"{number.normalize():f}"
