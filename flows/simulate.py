"""Play a federation of which a share lies, beside its honest twin, night by night.

The simulator is `hyperfed.simulator`, which `hyperfed simulate` plays too. This flow offers it in
Prefect's UI. No drop-box is touched.
"""

from typing import Annotated, Any, Literal

from prefect import State, flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed
from pydantic import Field

from hyperfed.simulator import SimulatedNight, Simulation
from hyperfed.simulator import simulate as played

__all__ = ["simulate"]

_Share = Annotated[float, Field(ge=0, lt=0.5)]
_World = Literal["sem", "var", "sem-weak", "var-weak", "demo"]


@task(name="play", cache_policy=NO_CACHE)
def play(simulation: Simulation) -> list[dict[str, Any]]:
    """Return one row for each night, and log each night as it ends."""
    rows, logger = [], get_run_logger()
    for night in played(simulation):
        rows.append(_row(night))
        logger.info(
            "stage=play night=%d of=%d f1=%.3f honest_f1=%.3f",
            night.night,
            simulation.nights,
            night.score.f1,
            night.honest.f1,
        )
    return rows


def _row(night: SimulatedNight) -> dict[str, Any]:
    return {
        "night": night.night,
        "F1": round(night.score.f1, 3),
        "SHD": night.score.shd,
        "effect error": round(night.score.effect_error, 3),
        "F1, had nobody lied": round(night.honest.f1, 3),
        "weight of liars": round(night.weight, 3),
        "liars out": night.excluded[0],
        "honest out": night.excluded[1],
        "refused": night.refused,
    }


@flow(
    name="simulate",
    flow_run_name="simulate {clients} clients, {byzantine} of them {attack}, {nights} nights",
    persist_result=False,
)
def simulate(
    clients: Annotated[int, Field(ge=3, le=1000)] = 20,
    byzantine: _Share = 0.3,
    attack: str = "sign-flip",
    rule: str = "bounded-trust",
    f: Annotated[int, Field(ge=0)] | None = None,
    world: _World = "sem",
    nights: Annotated[int, Field(ge=1, le=365)] = 5,
    from_night: Annotated[int, Field(ge=1, le=365)] = 1,
    baskets: Annotated[int, Field(ge=1, le=100)] = 1,
    quiet_liars: bool = False,
    signed: bool = True,
    seed: int = 0,
) -> State[dict[str, Any]]:
    """Play a federation of which a share lies, beside its honest twin, in memory.

    Args:
        clients: How many clients there are. The world "demo" has 48 states at most.
        byzantine: The share of them that lies, below one half.
        attack: What liars do, such as sign-flip, alie, mimic or collusion; `hyperfed simulate
            --attack list` names all.
        rule: The aggregation rule, such as bounded-trust, multi-krum or median; `hyperfed simulate
            --rule list` names all.
        f: How many liars the rule assumes; when empty, as many as there are.
        world: Where the truth comes from - a linear SEM, a VAR(2), either with few samples and
            clients that differ (weak), or the 48 US states.
        nights: How many nights are played.
        from_night: The night in which the lying starts.
        baskets: The number of groups that are merged on their own first.
        quiet_liars: Liars vote no louder than honest clients do; otherwise they are sure of
            everything.
        signed: Play through a drop-box in memory, with plans, sealed updates, ledger and results;
            without, the merge is the same and quicker.
        seed: The seed, from which everything follows.
    """
    chosen = Simulation(
        clients=clients,
        byzantine=byzantine,
        attack=attack,
        rule=rule,
        f=f,
        world=world,
        nights=nights,
        from_night=from_night,
        baskets=baskets,
        quiet=quiet_liars,
        signed=signed,
        seed=seed,
    )
    rows = play(chosen)
    about = (
        f"{clients} clients, {chosen.liars} of them lie ({attack}); {rule} with f = "
        f"{chosen.stated}; world {world}"
    )
    create_table_artifact(key="simulation", table=rows, description=about)
    last = rows[-1]
    get_run_logger().info(
        "flow=simulate nights=%d f1=%.3f weight_of_liars=%.3f",
        len(rows),
        last["F1"],
        last["weight of liars"],
    )
    message = (
        f"night {last['night']}: F1 {last['F1']} ({last['F1, had nobody lied']} had "
        f"nobody lied), liars weigh {last['weight of liars']:.0%}"
    )
    return Completed(message=message, data={"about": about, "nights": rows})
