"""`hyperfed simulate`: a federation under attack, in one process: would tonight's policy have stood?

1. Table and plot show each night beside its honest twin: what the attack cost, and not what the data cannot tell.
2. It reads and writes no drop-box; `--signed` plays every byte of real rounds through one in memory.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.invocation import Invocation, output_options, pass_invocation
from hyperfed.cli.output import clean, console, show_pairs, show_table

if TYPE_CHECKING:
    from hyperfed.testing.simulator import Night, Simulation

__all__ = ["simulate"]

_BAR = 40


@click.command()
@click.option("--clients", type=click.IntRange(3, 1000), default=50, show_default=True, help="How many clients.")
@click.option("--byzantine", type=click.FloatRange(0, 0.5, max_open=True), default=0.3, show_default=True, help="The share of them that lies.")
@click.option("--attack", default="sign-flip", show_default=True, help="What liars do; `--attack list` names them.")
@click.option("--quiet-liars", "quiet", is_flag=True, help="Liars vote no louder than honest clients do; otherwise they are sure of everything.")
@click.option("--false-losses", is_flag=True, help="Liars claim a loss of 0 (of interest to the rule adaptive).")
@click.option("--rule", default="bounded-trust", show_default=True, help="The aggregation rule; `--rule list` names them.")
@click.option("--f", "stated", type=click.IntRange(min=0), help="How many liars the rule is told of; as many as there are, unless given.")
@click.option(
    "--world",
    type=click.Choice(["sem", "var", "sem-weak", "var-weak", "demo"]),
    default="sem",
    show_default=True,
    help="Linear SEM or VAR(2), weak: of few samples and clients that differ; or the 48 US states.",
)
@click.option("--nights", type=click.IntRange(1, 365), default=5, show_default=True, help="How many nights.")
@click.option("--from-night", type=click.IntRange(1, 365), default=1, show_default=True, help="When the lying starts.")
@click.option("--baskets", type=click.IntRange(1, 100), default=1, show_default=True, help="Groups that are merged on their own first.")
@click.option("--seed", type=int, default=0, show_default=True, help="Everything follows from it.")
@click.option("--signed", is_flag=True, help="Through a drop-box in memory: plans, sealed updates, ledger, results.")
@click.option(
    "--table", "table_file", type=click.Path(path_type=Path), help="Instead: write the page with all rules and attacks to this file (about ten minutes)."
)
@output_options
@pass_invocation
def simulate(invocation: Invocation, /, attack: str, rule: str, stated: int | None, table_file: Path | None, **settings: Any) -> int:
    """Play a federation of which a share lies, beside its honest twin: what would stand, and what would have stood had nobody lied.

    F1 and SHD (edges missing, too many or of the wrong sign) are against the truth; the effect error is relative, 1 is an empty model; liars' weight is their
    share of all weight; liars out and honest out are left out by their reputation, which takes three nights.

    \b
      hyperfed simulate --clients 50 --byzantine 0.3 --attack alie --rule multi-krum
      hyperfed simulate --world demo --clients 48 --attack collusion --quiet-liars --from-night 3 --nights 7
      hyperfed simulate --table docs/robustness.md
    """
    from hyperfed.aggregation import RULES
    from hyperfed.testing.attackers import ATTACKS
    from hyperfed.testing.simulator import Simulation
    from hyperfed.testing.simulator import simulate as play

    if "list" in (attack, rule):
        known = {"attacks": list(ATTACKS), "rules": list(RULES)}
        invocation.out.finish(known, lambda to: show_pairs(to, {name: ", ".join(names) for name, names in known.items()}))
        return 0
    if table_file is not None:
        return _write_table(invocation, table_file, settings["seed"])
    chosen = Simulation(attack=attack, rule=rule, f=stated, **settings)
    nights: list[Night] = []
    with _progress(invocation, chosen.nights) as advance:
        nights.extend(play(chosen, progress=advance))
    document = {"liars": chosen.liars, "f": chosen.stated, "nights": nights}
    invocation.out.finish(document, lambda to: _show(to, chosen, nights))
    return 0


def _show(to: Any, chosen: "Simulation", nights: "list[Night]") -> None:
    about = f"{chosen.clients} clients, {chosen.liars} of them lie ({chosen.attack}); {chosen.rule} with f = {chosen.stated}; world {chosen.world}"
    show_table(
        to,
        about,
        ("night", "F1", "SHD", "effect error", "honest F1", "honest SHD", "liars' weight", "liars out", "honest out"),
        [(n.night, n.score.f1, n.score.shd, n.score.effect_error, n.honest.f1, n.honest.shd, f"{n.weight:.0%}", n.excluded[0], n.excluded[1]) for n in nights],
        right=("night", "F1", "SHD", "effect error", "honest F1", "honest SHD", "liars' weight", "liars out", "honest out"),
    )
    to.print("F1 by night: what stood (#), and what the honest twin had more (.)", style="bold")
    for n in nights:
        stood, twin = round(_BAR * n.score.f1), round(_BAR * n.honest.f1)
        to.print(f"  {n.night:>3} |{'#' * stood}{'.' * max(0, twin - stood)}{' ' * (_BAR - max(stood, twin))}| {n.score.f1:.2f}")
    for n in nights:
        if n.refused:
            to.print(f"night {n.night}: {clean(n.refused)}")
            break


def _progress(invocation: Invocation, nights: int) -> Any:
    """A bar on a terminal; elsewhere nothing. Gives the function that moves it."""
    import contextlib
    import sys
    from collections.abc import Callable, Iterator

    @contextlib.contextmanager
    def shown() -> Iterator[Callable[[int], None] | None]:
        if invocation.as_json or not sys.stderr.isatty():
            yield None
            return
        from rich.progress import Progress

        with Progress(console=console(stderr=True), transient=True) as bar:
            task = bar.add_task("playing", total=nights)
            yield lambda night: bar.update(task, completed=night)

    return shown()


def _write_table(invocation: Invocation, path: Path, seed: int) -> int:
    from hyperfed.testing.simulator.page import cells, write_page

    played = iter(range(1, 10_000))
    with _progress(invocation, cells()) as advance:
        ranking = write_page(path, seed=seed, progress=None if advance is None else lambda _: advance(next(played)))
    rows = [(rank.rule, rank.f1, rank.effect_error, rank.loud, rank.quiet, rank.kept) for rank in ranking]
    invocation.out.finish(
        {"file": path, "ranking": ranking},
        lambda to: show_table(to, f"Written to {path}", ("rule", "mean F1", "mean effect error", "F1, loud", "F1, quiet", "kept"), rows),
    )
    return 0
