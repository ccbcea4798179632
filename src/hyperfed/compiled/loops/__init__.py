"""The loops that become machine code. Importing one of these modules imports numba; only `hyperfed.compiled.build` does."""
