"""Results of the real lingam become a Discovery.

lingam pins an older SciPy than the lock has, so it has an environment of its own.
"""

from pathlib import Path

import pytest

from tests.installation.venvs import run_with

pytestmark = [pytest.mark.installation, pytest.mark.slow, pytest.mark.timeout(700)]

NEEDS = ("lingam==1.13.0", "numpy<2.1")
WITHOUT = ("matplotlib", "semopy")  # a third of the time; no method of discovery calls them
CHILD = """
import sys
from unittest.mock import MagicMock

for name in ("", ".colors", ".figure", ".pyplot"):
    sys.modules["matplotlib" + name] = MagicMock()
sys.modules["semopy"] = MagicMock()

import lingam
import numpy as np

from hyperfed.engines import Discovery
from hyperfed.engines.knowledge import knowledge_from_lingam

x, e, z = np.random.default_rng(0).uniform(-1, 1, (3, 400))
data, names = np.c_[x, 0.8 * x - 0.7 * z + 0.5 * e, z], ("x", "y", "z")
model = lingam.DirectLiNGAM()
model.fit(data)
found = Discovery.from_lingam(model, names, data, bootstrap=model.bootstrap(data, 5))
edges = {(str(s), str(t)): i for i, (s, t) in enumerate(zip(found.source, found.target))}
assert {("x", "y"), ("z", "y")} <= edges.keys(), edges
for source, expected in (("x", 0.8), ("z", -0.7)):
    row = edges[source, "y"]
    assert abs(found.effect[row] - expected) < 0.1
    assert found.confidence[row] > 0.99
    assert found.stability[row] == 1.0

series = np.random.default_rng(1).uniform(-1, 1, (300, 2))
for t in range(1, 300):
    series[t, 1] += 0.8 * series[t - 1, 0]
lagged = lingam.VARLiNGAM(lags=1)
found = Discovery.from_lingam(lagged, ("x", "y"), bootstrap=lagged.bootstrap(series, 5))
keys = [(str(s), str(t), int(l)) for s, t, l in zip(found.source, found.target, found.lag)]
row = keys.index(("x", "y", 1))
assert abs(found.effect[row] - 0.8) < 0.1
assert found.stability[row] == 1.0

prior = lingam.utils.make_prior_knowledge(3, no_paths=[[2, 0]])
assert knowledge_from_lingam(prior, names).forbidden == (("z", "x"),)
"""


def test_what_lingam_returns_is_read_as_it_means_it(tmp_path: Path) -> None:
    run_with(tmp_path, NEEDS, CHILD, without=WITHOUT)
