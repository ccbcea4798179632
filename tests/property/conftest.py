"""What several property tests share."""

from typing import Any

import pytest

from hyperfed import kernels


@pytest.fixture(scope="session")
def machine_code() -> Any:
    """The compiled loops, which one session compiles once (ten seconds), loaded nowhere else."""
    pytest.importorskip("numba", reason="the extra `compiled` is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_state", kernels._State())
        patch.delenv("HYPERFED_COMPILED", raising=False)
        kernels.prepare(kernels.ROWS)
        assert kernels.machine_code() is not None
        return kernels.machine_code()
