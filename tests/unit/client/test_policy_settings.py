"""What [policy] says of statistics in a hyperfed.toml, and how a plan's terms take it."""

from pathlib import Path

import pytest

from hyperfed.client.settings import load_settings
from hyperfed.coordinator.opening import RoundTerms
from hyperfed.engines.summed.versions import engine_version
from hyperfed.errors import ConfigError
from hyperfed.packets import SumsPolicy

pytestmark = pytest.mark.unit


def written(folder: Path, lines: str) -> Path:
    path = folder / "hyperfed.toml"
    path.write_text(f'[policy]\npayload = "statistics"\nlags = [0]\n{lines}\n')
    return path


def test_a_file_states_the_engine_on_sums_and_the_terms_add_its_version(tmp_path: Path) -> None:
    path = written(tmp_path, 'statistics = { engine = "pc", alpha = 0.01 }')
    policy = load_settings(path).section("policy")
    terms = RoundTerms.of(variables=["a", "b"], policy=policy)
    assert terms.policy.statistics == SumsPolicy(
        engine="pc", alpha=0.01, version=engine_version("pc")
    )
    assert terms.policy.statistics.version.startswith("causal-learn ")
    plain = RoundTerms.of(variables=["a", "b"], policy={"payload": "statistics", "lags": [1]})
    assert plain.policy.statistics == SumsPolicy()
    assert RoundTerms.of(variables=["a", "b"]).policy.payload == "edges"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("statistics = 3", "must be a table"),
        ('statistics = { engin = "pc" }', "'engin'"),
        ('statistics = { engine = "lasso" }', "var, pc, fci, ges"),
        ("statistics = { alpha = 2 }", "alpha is 2"),
        ('statistics = { engine = "var" }', "some above 0"),
    ],
)
def test_a_wrong_line_is_refused_when_the_file_is_read(
    tmp_path: Path, line: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(written(tmp_path, line))
    assert said in str(caught.value)
    assert "policy" in str(caught.value)
