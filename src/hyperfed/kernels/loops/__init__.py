"""Hold the loop that numba compiles: how far clients agree.

Importing this package imports numba, and compiles the loop or takes it from the cache. Only
`hyperfed.kernels` imports it.

numba divides by zero as numpy does (`error_model`), reorders nothing and contracts nothing, because
its `fastmath` is off.
"""

from hyperfed.kernels.loops.agreement import agreement

__all__ = ["agreement"]
