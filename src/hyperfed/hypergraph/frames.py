"""Hand a model's edges to pandas, Arrow and networkx, with the evidence behind each.

1. What is not known is missing in a frame (NA, null), and has no attribute in a graph; it is never
   0.
2. Suppressed edges are rows with a status and without values.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from hyperfed.errors import ConfigError
from hyperfed.hypergraph.suppression import EdgeStatus

if TYPE_CHECKING:
    from hyperfed.hypergraph.global_model import GlobalModel

__all__ = ["library_named", "model_frame", "model_networkx"]

_TEXTS = ("source", "target", "notes", "status")
_COUNTS = ("lag", "support", "reporting", "measured_by", "samples", "positive", "negative")


def library_named(name: str, what_for: str) -> Any:
    """Return an installed library. Raises ConfigError where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise ConfigError(
            f"{name} is not installed", subject=what_for, remedy=f"pip install {name}"
        ) from exc


def model_frame(model: "GlobalModel", library: str | None) -> Any:
    """Return the model's edges as a frame of pandas, or a table of Arrow.

    Without a `library` it is what is installed, pandas first. Raises ConfigError where neither is,
    or where `library` is neither.
    """
    if library not in (None, "pandas", "arrow"):
        raise ConfigError(
            f"there is no library {library!r:.40}",
            subject="to_dataframe",
            remedy="Choose pandas or arrow",
        )
    rows = [row | {"status": EdgeStatus.PRESENT.word} for row in model.rows()]
    rows += [row | {"status": EdgeStatus.SUPPRESSED.word} for row in model.suppressed_rows()]
    names = _columns(model)
    columns = {name: [row.get(name) for row in rows] for name in names}
    if library is None:
        library = "pandas" if importlib.util.find_spec("pandas") else "arrow"
    if library == "arrow":
        arrow = library_named("pyarrow", "to_dataframe")
        types = {
            name: arrow.string()
            if name in _TEXTS
            else arrow.int64()
            if name in _COUNTS
            else arrow.float64()
            for name in names
        }
        return arrow.table(
            {name: arrow.array(columns[name], type=kind) for name, kind in types.items()}
        )
    pandas = library_named("pandas", "to_dataframe")
    return pandas.DataFrame(
        {
            name: pandas.Series(
                values,
                dtype="object" if name in _TEXTS else "Int64" if name in _COUNTS else "float64",
            )
            for name, values in columns.items()
        }
    )


def _columns(model: "GlobalModel") -> list[str]:
    """Return the names of the columns, which do not depend on the rows."""
    from hyperfed.hypergraph.evidence import Spread

    first = ["source", "target", "lag", "effect", "ci_low", "ci_high"]
    about = ["vote", "support", "reporting", "measured_by", "samples"]
    about += ["std_error", "tau2", "i2"]
    return [*first, *about, *Spread.COLUMNS, "direction", "notes", "status"]


def model_networkx(model: "GlobalModel") -> Any:
    """Return the model's edges as a networkx.MultiDiGraph. Raises ConfigError."""
    networkx = library_named("networkx", "to_networkx")
    graph = networkx.MultiDiGraph(
        federation=model.federation, round=model.round, suppressed=model.suppressed_rows()
    )
    measured = set(model.measured.tolist())
    for index, variable in enumerate(model.vocabulary.variables):
        graph.add_node(
            variable.name, domain=variable.domain, unit=variable.unit, measured=index in measured
        )
    for row in model.rows():
        ends = ("source", "target")
        known = {n: value for n, value in row.items() if value is not None and n not in ends}
        graph.add_edge(row["source"], row["target"], key=row["lag"], **known)
    return graph
