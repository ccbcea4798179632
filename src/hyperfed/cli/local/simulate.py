"""Implement `hyperfed simulate`, which plays a federation under attack in one process.

1. Table and plot show each round beside its honest twin, so that they show what the attack cost,
   and not what the data cannot show.
2. The command reads and writes no drop-box. `--signed` plays every byte of real rounds through a
   drop-box in memory.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.options import FILE, nights_option, output_options
from hyperfed.cli.output import clean, console, show_pairs, show_table
from hyperfed.cli.values import Lags
from hyperfed.errors import ConfigError

if TYPE_CHECKING:
    from hyperfed.simulator import SimulatedNight, Simulation

__all__ = ["simulate"]

_BAR = 40


@click.command(cls=Command)
@click.option(
    "--clients",
    type=click.IntRange(3, 1000),
    default=50,
    show_default=True,
    help="How many clients.",
)
@click.option(
    "--byzantine",
    type=click.FloatRange(0, 0.5, max_open=True),
    default=0.3,
    show_default=True,
    help="The share of the clients that lie.",
)
@click.option(
    "--attack",
    default="sign-flip",
    show_default=True,
    help="What liars do; `--attack list` names the attacks.",
)
@click.option(
    "--quiet-liars",
    "quiet",
    is_flag=True,
    help="Liars vote no louder than honest clients do; otherwise they are sure of everything.",
)
@click.option(
    "--false-losses",
    is_flag=True,
    help="Liars claim a loss of 0 (this matters to the rule adaptive).",
)
@click.option(
    "--rule",
    default="bounded-trust",
    show_default=True,
    help="The aggregation rule; `--rule list` names the rules.",
)
@click.option(
    "--f",
    "stated",
    type=click.IntRange(min=0),
    help="The number of liars that the rule assumes; by default the true number.",
)
@click.option(
    "--world",
    type=click.Choice(["sem", "var", "sem-weak", "var-weak", "demo"]),
    default="sem",
    show_default=True,
    help="Linear SEM or VAR(2); weak: with few samples, and clients that differ; or the 48 US "
    "states.",
)
@click.option(
    "--data",
    "folder",
    type=FILE,
    help="Instead of a world: a folder of your own, one data file for each client.",
)
@click.option("--engine", help="The engine for --data, by its name; by default the built-in one.")
@click.option(
    "--series",
    "in_order",
    is_flag=True,
    help="Rows of --data are time steps, oldest first, where no column tells the time.",
)
@click.option("--lags", type=Lags(), metavar="1,2,...", help="The lags to look at in --data.")
@nights_option(365, "How many nights.", default=5)
@click.option(
    "--from-night",
    type=click.IntRange(1, 365),
    default=1,
    show_default=True,
    help="The first night on which liars lie.",
)
@click.option(
    "--baskets",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="How many groups are merged on their own first.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="The seed, which determines everything.",
)
@click.option(
    "--signed",
    is_flag=True,
    help="Use a drop-box in memory: plans, sealed updates, ledger, results.",
)
@click.option(
    "--table",
    "table_file",
    type=FILE,
    help="Instead, write the page with all rules and attacks to this file (about ten minutes).",
)
@output_options
@pass_invocation
def simulate(
    invocation: Invocation,
    /,
    attack: str,
    rule: str,
    stated: int | None,
    table_file: Path | None,
    folder: Path | None,
    **settings: Any,
) -> None:
    """Simulate a federation in which some clients lie, beside its honest twin.

    The answer shows the merged model with the lies, and without them. F1 and SHD (edges missing,
    too many or of the wrong sign) compare it with the truth. The effect error is relative; an empty
    model has 1. Liars' weight is their share of all weight. Liars out and honest out count the
    clients that are left out because of their trust, which takes three nights.

    \b
      hyperfed simulate --clients 50 --byzantine 0.3 --attack alie --rule multi-krum
      hyperfed simulate --world demo --clients 48 --attack collusion --quiet-liars \\
          --from-night 3 --nights 7
      hyperfed simulate --data clinics/ --series --attack sign-flip
      hyperfed simulate --table docs/robustness.md
    """
    from hyperfed.aggregation import RULES
    from hyperfed.simulator import Simulation
    from hyperfed.simulator import simulate as play
    from hyperfed.simulator.attackers import ATTACKS

    if "list" in (attack, rule):
        names_by_kind = {"attacks": list(ATTACKS), "rules": list(RULES)}
        invocation.out.finish(
            names_by_kind,
            lambda to: show_pairs(
                to, {name: ", ".join(names) for name, names in names_by_kind.items()}
            ),
        )
    if table_file is not None:
        _write_table(invocation, table_file, settings["seed"])
    if attack not in ATTACKS:
        raise ConfigError(
            f"unknown attack {attack!r:.40}",
            subject="simulation",
            remedy=f"Choose one of {', '.join(ATTACKS)}",
        )
    own = {name: settings.pop(name) for name in ("engine", "in_order", "lags")}
    if folder is None and any(own.values()):
        raise ConfigError(
            "--engine, --series and --lags say how your own files are read",
            subject="simulation",
            remedy="Add --data FOLDER",
        )
    if folder is not None:
        _refuse_worlds_options()
        from hyperfed.simulator.own_files import world_of_folder

        with invocation.out.step("Discovering in each file"):
            world = world_of_folder(folder, seed=settings["seed"], **own)
        chosen = {k: v for k, v in settings.items() if k not in ("world", "clients")}
        simulation = Simulation.of_world(world, attack=attack, rule=rule, f=stated, **chosen)
    else:
        simulation = Simulation(attack=attack, rule=rule, f=stated, **settings)
    nights: list[SimulatedNight] = []
    with _progress(invocation, simulation.nights) as advance:
        nights.extend(play(simulation, progress=advance))
    document = {"liars": simulation.liars, "f": simulation.stated, "nights": nights}
    invocation.out.finish(document, lambda to: _show(to, simulation, nights))


def _refuse_worlds_options() -> None:
    """Raise ConfigError where the command line names a world's options beside one's own files."""
    given = click.core.ParameterSource.COMMANDLINE
    context = click.get_current_context()
    for name in ("world", "clients"):
        if context.get_parameter_source(name) is given:
            raise ConfigError(
                f"--{name} does not go with --data",
                subject="simulation",
                remedy="Leave it out: the folder says which clients there are",
            )


def _show(to: Any, chosen: "Simulation", nights: "list[SimulatedNight]") -> None:
    about = (
        f"{chosen.clients} clients, {chosen.liars} of them lie ({chosen.attack}); "
        f"{chosen.rule} with f = {chosen.stated}; world {chosen.world}"
    )
    show_table(
        to,
        about,
        (
            "night",
            "F1",
            "SHD",
            "effect error",
            "honest F1",
            "honest SHD",
            "liars' weight",
            "liars out",
            "honest out",
        ),
        [
            (
                n.night,
                n.score.f1,
                n.score.shd,
                n.score.effect_error,
                n.honest.f1,
                n.honest.shd,
                f"{n.weight:.0%}",
                n.excluded[0],
                n.excluded[1],
            )
            for n in nights
        ],
        right=(
            "night",
            "F1",
            "SHD",
            "effect error",
            "honest F1",
            "honest SHD",
            "liars' weight",
            "liars out",
            "honest out",
        ),
    )
    to.print("F1 by night: what stood (#), and what the honest twin had more (.)", style="bold")
    for n in nights:
        stood, twin = round(_BAR * n.score.f1), round(_BAR * n.honest.f1)
        to.print(
            f"  {n.night:>3} "
            f"|{'#' * stood}{'.' * max(0, twin - stood)}{' ' * (_BAR - max(stood, twin))}| "
            f"{n.score.f1:.2f}"
        )
    for n in nights:
        if n.refused:
            to.print(f"night {n.night}: {clean(n.refused)}")
            break


def _progress(invocation: Invocation, nights: int) -> Any:
    """Return a context that shows a bar on a terminal and yields the function that moves it.

    Elsewhere nothing is shown, and the context yields None.
    """
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


def _write_table(invocation: Invocation, path: Path, seed: int) -> NoReturn:
    from hyperfed.simulator.page import cells, write_page

    played = iter(range(1, 10_000))
    with _progress(invocation, cells()) as advance:
        ranking = write_page(
            path, seed=seed, progress=None if advance is None else lambda _: advance(next(played))
        )
    rows = [
        (rank.rule, rank.f1, rank.effect_error, rank.loud, rank.quiet, rank.kept)
        for rank in ranking
    ]
    invocation.out.finish(
        {"file": path, "ranking": ranking},
        lambda to: show_table(
            to,
            f"Written to {path}",
            ("rule", "mean F1", "mean effect error", "F1, loud", "F1, quiet", "kept"),
            rows,
        ),
    )
