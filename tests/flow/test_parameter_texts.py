"""What Prefect's run form says beside each parameter of a deployed flow: all of it, as written."""

import inspect
from pathlib import Path

import pytest
import yaml
from prefect.utilities.callables import parameter_schema
from prefect.utilities.importtools import import_object

from flows.client_night import client_night
from hyperfed.cli.client.timers import FLOW_NAMES
from hyperfed.client.sources import OPTIONS

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text(encoding="utf-8"))

pytestmark = pytest.mark.flow


@pytest.mark.parametrize(
    "entrypoint", sorted({each["entrypoint"] for each in DEPLOYMENTS["deployments"]})
)
def test_each_parameter_has_its_whole_text(entrypoint: str) -> None:
    """A line of the docstring that is not indented below its parameter is lost."""
    path, _, name = entrypoint.rpartition(":")
    flow = import_object(f"{path.removesuffix('.py').replace('/', '.')}.{name}")
    for parameter, shown in parameter_schema(flow).properties.items():
        assert shown.get("description", "").endswith("."), f"{entrypoint}: {parameter}"


def test_a_night_on_prefect_takes_every_option_about_the_data() -> None:
    """`client timer --kind prefect` writes them as the flow's parameters."""
    parameters = set(inspect.signature(client_night.fn).parameters)
    names = {FLOW_NAMES.get(name, name) for name in OPTIONS}
    assert names <= parameters
    assert {"unit", "convert", "intervened"} <= names
