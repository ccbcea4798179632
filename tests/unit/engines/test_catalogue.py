"""Engines are chosen by name: Hyperfed's own, a package's, or what the data ask for."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from hyperfed.engines import Discovery, catalogue
from hyperfed.engines.catalogue import choose, engine_names, make_engine, reads
from hyperfed.errors import ConfigError, EngineError

pytestmark = pytest.mark.unit


class OtherEngine:
    """What a package might offer."""

    reads = "table"

    def __init__(self, values: np.ndarray, names: tuple[str, ...], *, rng: int = 0) -> None:
        self.values, self.names, self.rng = values, names, rng

    def discover(self) -> Discovery:
        return Discovery(
            variables=self.names,
            source=[],
            target=[],
            lag=[],
            effect=[],
            confidence=[],
            stability=[],
            lags=(0,),
            notes=(f"seed {self.rng}",),
        )


class StrangeEngine(OtherEngine):
    reads = "pictures"


def broken(values: np.ndarray, names: tuple[str, ...]) -> None:
    raise ZeroDivisionError("a package's mistake")


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    points: list[EntryPoint] = []
    monkeypatch.setattr(
        catalogue, "entry_points", lambda *, group: [p for p in points if p.group == group]
    )
    return points


def _point(name: str, attribute: str) -> EntryPoint:
    return EntryPoint(name=name, value=f"{__name__}:{attribute}", group="hyperfed.engines")


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules[OtherEngine.__module__])


def test_a_package_offers_an_engine_and_it_is_told_what_it_takes(
    packages: list[EntryPoint],
) -> None:
    packages.append(_point("other", "OtherEngine"))
    assert "other" in engine_names()
    assert reads("other") == "table"
    options = {"rng": 7, "n_bootstrap": 5, "lags": (0,), "knowledge": None}
    engine = make_engine("other", np.zeros((3, 1)), ("x",), options)
    assert engine.discover().notes == ("seed 7",)


def test_an_unknown_engine_is_refused_with_those_there_are(packages: list[EntryPoint]) -> None:
    packages.append(_point("other", "OtherEngine"))
    with pytest.raises(ConfigError, match="there is no such engine") as caught:
        reads("pcmi")
    assert "fci, ges, lingam, other, pc, var, varlingam" in str(caught.value)


def test_a_package_cannot_take_a_name_that_is_taken(packages: list[EntryPoint]) -> None:
    packages.append(_point("pc", "OtherEngine"))
    with pytest.raises(ConfigError, match="a name that is taken"):
        engine_names()
    assert reads("pc") == "table", "Hyperfed's own goes on"
    packages[:] = [_point("twice", "OtherEngine"), _point("twice", "StrangeEngine")]
    with pytest.raises(ConfigError, match="a name that is taken"):
        engine_names()


def test_what_is_wrong_with_a_package_is_said_with_its_name(packages: list[EntryPoint]) -> None:
    packages += [_point("strange", "StrangeEngine"), _point("broken", "broken")]
    packages.append(_point("gone", "NoSuchEngine"))
    with pytest.raises(ConfigError, match=r"'strange'.*says that it reads 'pictures'"):
        reads("strange")
    with pytest.raises(EngineError, match="engine broken: failed: ZeroDivisionError"):
        make_engine("broken", np.zeros((3, 1)), ("x",), {})
    with pytest.raises(ConfigError, match=r"'gone'.*cannot be imported"):
        make_engine("gone", np.zeros((3, 1)), ("x",), {})


def test_auto_says_what_it_chose_and_why() -> None:
    rng = np.random.default_rng(0)
    uniform = rng.uniform(-1, 1, (500, 2))
    assert choose("series", uniform, ("x", "y")).name == "var"
    assert choose("table", uniform, ("x", "y")).name == "lingam"
    mixed = np.c_[uniform, rng.normal(size=500)]
    chosen = choose("table", mixed, ("x", "y", "z"))
    assert chosen.name == "pc"
    assert "1 of 3 columns (z ...) may be normal" in chosen.why
