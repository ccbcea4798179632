"""The example of an engine in a package of its own, with a stand-in for tigramite."""

import importlib.util
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hyperfed.engines import catalogue
from hyperfed.engines.catalogue import GROUP, make_engine, reads
from hyperfed.errors import EngineError

pytestmark = pytest.mark.unit

PACKAGE = Path(__file__).parents[3] / "examples" / "hyperfed-pcmci"


class _Pcmci:
    """Correlations at each lag, in the form that tigramite returns."""

    def __init__(self, *, dataframe: Any, cond_ind_test: object, verbosity: int) -> None:
        self.values = dataframe.values

    def run_pcmci(self, *, tau_min: int, tau_max: int, alpha_level: float) -> dict[str, Any]:
        rows, width = self.values.shape
        value = np.zeros((width, width, tau_max + 1))
        for lag in range(tau_min, tau_max + 1):
            both = np.corrcoef(self.values[: rows - lag].T, self.values[lag:].T)
            value[:, :, lag] = both[:width, width:]
        linked = np.abs(value) > 0.4
        return {
            "graph": np.where(linked, "-->", ""),
            "val_matrix": value,
            "p_matrix": np.where(linked, 0.001, 0.5),
        }


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The package's module, offered as its pyproject.toml says."""
    for name, content in {
        "tigramite": {},
        "tigramite.data_processing": {
            "DataFrame": lambda values, var_names: SimpleNamespace(values=values)
        },
        "tigramite.independence_tests": {},
        "tigramite.independence_tests.parcorr": {"ParCorr": object},
        "tigramite.pcmci": {"PCMCI": _Pcmci},
    }.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location(
        "hyperfed_pcmci", PACKAGE / "src" / "hyperfed_pcmci" / "__init__.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "hyperfed_pcmci", module)
    spec.loader.exec_module(module)
    said = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]["entry-points"]
    points = [EntryPoint(name=n, value=v, group=GROUP) for n, v in said[GROUP].items()]
    monkeypatch.setattr(catalogue, "entry_points", lambda *, group: points)
    return module


def _series() -> np.ndarray:
    data = np.random.default_rng(0).normal(size=(300, 2))
    for t in range(2, 300):
        data[t, 1] -= 2.0 * data[t - 2, 0]
    return data


def test_the_package_is_found_by_its_entry_point_and_its_links_are_read(
    package: ModuleType,
) -> None:
    assert reads("pcmci") == "series"
    told: list[int] = []
    options = {
        "lags": (0, 1, 2),
        "rng": 1,
        "n_bootstrap": 5,
        "knowledge": None,
        "progress": lambda done, total, left: told.append(done),
    }
    found = make_engine("pcmci", _series(), ("x", "y"), options).discover()
    assert found.lags == (1, 2)
    (row,) = range(len(found))
    assert (found.source[row], found.target[row], found.lag[row]) == ("x", "y", 2)
    assert found.effect[row] < -0.4
    assert found.stability[row] == 1.0
    assert told == [1, 2, 3, 4, 5]
    with pytest.raises(EngineError, match="the series lacks values"):
        make_engine("pcmci", np.full((9, 2), np.nan), ("x", "y"), options)
