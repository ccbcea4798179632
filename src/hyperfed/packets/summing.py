"""State what a plan says of sums of statistics: the engine that reads them, and its settings."""

from dataclasses import dataclass, field

from hyperfed.codec.versions import since
from hyperfed.errors import BoundsError
from hyperfed.packets.fields import index, integer, keep_checked, number
from hyperfed.statistics.record import FORMS

__all__ = ["CENTRINGS", "PAYLOADS", "PRIVATE_ENGINES", "SUM_ENGINES", "SumsPolicy"]

PAYLOADS = ("edges", "statistics", "both")
"""What clients share: their edges, their statistics, or both."""
SUM_ENGINES = ("var", "pc", "fci", "ges")
"""The engines that find a model in sums (`hyperfed.engines.summed`)."""
PRIVATE_ENGINES = ("var", "pc", "fci")
"""The engines whose tests and intervals count the noise of a private sum; a BIC does not."""
CENTRINGS = ("client", "public")
"""What is taken from the rows of a private round: each client's means, or the public centre."""
_KIND = "SumsPolicy"


@dataclass(frozen=True, slots=True, kw_only=True)
class SumsPolicy:
    """Holds how a model is found in the sum of clients' statistics.

    Raises BoundsError where a field is out of range.
    """

    engine: str = "var"
    """The engine: "var" for lags above 0; "pc", "fci" or "ges" for lag 0."""
    version: str = ""
    """The library that the engine runs in, with its version; "" for Hyperfed's own ("var")."""
    alpha: float = 0.05
    """The level of the tests of pc and fci, in (0, 1)."""
    resamples: int = 20
    """How many parametric resamples the stability comes from (pc, fci and ges), 1 to 1000."""
    seed: int = 0
    """What the resamples are drawn by, so that an audit draws the same."""
    rows_min: int = 10
    """The fewest rows of a client; it also needs 2 more rows than its moments have columns."""
    form: str = "values"
    """What moments are of: the scaled "values", or "ranks": their normal scores."""
    row_norm: float = field(default=0.0, metadata=since(7))
    """Private rounds: the norm to which each client clips each row, in public units; else 0."""
    centring: str = field(default="client", metadata=since(7))
    """Private rounds: "client": each client's means are taken away; or "public": the vocabulary's
    centre is the mean of all rows, which needs less noise.
    """
    short_bias: str = field(default="removed", metadata=since(7))
    """Engine var: whether the bias that each client's own means bring into short series is
    "removed" or "kept"; kept, the result is least squares on all centred rows.
    """

    def __post_init__(self) -> None:
        for name, known in (
            ("engine", SUM_ENGINES),
            ("form", FORMS),
            ("centring", CENTRINGS),
            ("short_bias", ("removed", "kept")),
        ):
            if getattr(self, name) not in known:
                raise BoundsError(
                    f"{name} is {getattr(self, name)!r:.80}; one of {', '.join(known)} is needed",
                    subject=_KIND,
                )
        if not isinstance(self.version, str) or len(self.version) > 100:
            raise BoundsError(f"version is {self.version!r:.80}; a text is needed", subject=_KIND)
        keep_checked(
            self,
            alpha=number(_KIND, "alpha", self.alpha, 1e-9, 0.5),
            resamples=integer(_KIND, "resamples", self.resamples, 1, 1001),
            seed=index(_KIND, "seed", self.seed, 1 << 32),
            rows_min=integer(_KIND, "rows_min", self.rows_min, 2, 1 << 53),
            row_norm=number(_KIND, "row_norm", self.row_norm, 0, 1e6),
        )
