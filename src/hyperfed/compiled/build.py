"""Compiles the loops for this machine, once, and keeps them.

    python -m hyperfed.compiled.build

It is a process of its own: compiling takes forty seconds of a core and 200 MB, which nobody's night should hold.
"""

import os
import sys

__all__ = ["build", "main"]


def build() -> bytes:
    """A build for this machine, as `keeping` keeps it. Raises ImportError without numba, and what numba raises where it does not fit numpy."""
    import llvmlite.binding as llvm

    from hyperfed.compiled.interface import SIGNATURES
    from hyperfed.compiled.loading import pack_code, target_machine
    from hyperfed.compiled.loops import ballots, columns, merging, records  # noqa: F401 - each compiles what it defines
    from hyperfed.compiled.loops.compiler import ENTRIES

    machine = target_machine()
    whole = llvm.parse_assembly("")
    for name in SIGNATURES:
        whole.link_in(llvm.parse_assembly(ENTRIES[name].inspect_llvm()))
    whole.verify()
    unreached = [f.name for f in whole.functions if f.is_declaration and not f.name.startswith("llvm.")]
    return pack_code({name: ENTRIES[name].native_name for name in SIGNATURES}, unreached, machine.emit_object(whole))


def main() -> int:
    """0 where a build is there now."""
    from hyperfed.compiled.keeping import find, keep
    from hyperfed.compiled.loading import builds_name

    if hasattr(os, "nice"):
        os.nice(10)  # a night may be waiting for this core
    name = builds_name()
    if find(name) is None and keep(name, build()) is None:
        sys.stderr.write("machine code was compiled, and may be kept nowhere: set XDG_CACHE_HOME\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
