"""Draw a model's strongest edges with matplotlib.

1. Places and curves are those of the report's picture (`graph_layout`), so that both look alike.
2. Colour, dashes and the label all say the sign: a blue solid edge raises its target, an orange
   dashed one lowers it. No meaning is carried by colour alone.
3. A name may hold a dollar sign, which matplotlib would read as mathematics: nothing is parsed.
"""

from typing import TYPE_CHECKING, Any

from hyperfed.hypergraph.frames import library_named
from hyperfed.hypergraph.graph_layout import Arrow, lay_out, text_width

if TYPE_CHECKING:
    from hyperfed.hypergraph.global_model import GlobalModel

__all__ = ["plot_model"]

_RAISES, _LOWERS, _INK, _NODE = "#1f5fd0", "#cf5a00", "#1c2430", "#f4f6fa"
_NAME, _LABEL = 14.0, 12.0


def plot_model(model: "GlobalModel", ax: Any, edges: int) -> Any:
    """Return the axes with the model's strongest edges drawn on them. Raises ConfigError."""
    library_named("matplotlib", "plot")
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
    from matplotlib.path import Path

    rows = model.rows()[:edges]
    names = sorted({row[end] for row in rows for end in ("source", "target")})
    index = {name: i for i, name in enumerate(names)}
    labels = [f"{row['effect']:+.2g}, lag {row['lag']}" for row in rows]
    arrows = [
        Arrow(
            source=index[row["source"]],
            target=index[row["target"]],
            width=1.4 + 5.0 * min(1.0, abs(row["vote"])),
            label_width=text_width(label, _LABEL),
        )
        for row, label in zip(rows, labels, strict=True)
    ]
    layout = lay_out([text_width(name, _NAME) for name in names], arrows)
    left, top, width, height = layout.frame
    if ax is None:
        ax = Figure(figsize=(max(width, 300) / 90, max(height, 200) / 90)).add_subplot()
    for row, arrow, label, curve in zip(rows, arrows, labels, layout.curves, strict=True):
        raises = row["effect"] >= 0
        colour = _RAISES if raises else _LOWERS
        codes = [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]
        ax.add_patch(
            PathPatch(
                Path(curve.points, codes),
                fill=False,
                edgecolor=colour,
                linewidth=arrow.width * 0.7,
                linestyle="-" if raises else "--",
            )
        )
        ax.add_patch(Polygon(curve.head, closed=True, color=colour))
        if curve.label is not None:
            back = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.9}
            box = curve.label
            ax.text(box.x, box.y, label, ha="center", va="center", fontsize=7, bbox=back, zorder=4)
    for name, place in zip(names, layout.places, strict=True):
        box = place.box
        corner = (box.x - box.w / 2, box.y - box.h / 2)
        style = f"round,pad=0,rounding_size={min(box.w, box.h) / 2:.1f}"
        ax.add_patch(
            FancyBboxPatch(
                corner, box.w, box.h, boxstyle=style, facecolor=_NODE, edgecolor=_INK, zorder=3
            )
        )
        at, side = ((box.x, box.y), "center") if layout.pills else ((box.x, box.y - 16), "center")
        ax.text(*at, name, ha=side, va="center", fontsize=8, color=_INK, parse_math=False, zorder=5)
    shown = "" if len(model.edges) == len(rows) else f", the {len(rows)} strongest"
    ax.set_title(f"{model.federation}, round {model.round}{shown}", parse_math=False)
    ax.set_xlim(left - 20, left + width + 20)
    ax.set_ylim(top + height + 20, top - 20)  # the layout's coordinates grow downwards
    ax.set_aspect("equal")
    ax.set_axis_off()
    return ax
