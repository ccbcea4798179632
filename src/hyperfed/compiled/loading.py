"""Machine code that was kept, as functions: `load` gives them, or None where there is none for this machine. It takes a tenth of a second, and no numba.

1. Code is linked by llvmlite, LLVM's own linker, in memory. numba, and LLVM's compiler with it, is needed to make code, not to run it.
2. Calls go through cffi's run time, which PyNaCl brings, and hold no interpreter lock. An array is given by `address`, and its caller keeps it.
3. Names that the code mentions and never reaches (what numba would call to raise an exception: no loop raises one) are led to `abort`.

What it does not do: compile (`build`), check what it is given: a wrong length is a wild write. Only `merge.compiled` and `compiled.tables`
call these.
"""

import ctypes
import struct
from typing import Any

import llvmlite.binding as llvm

from hyperfed.compiled.interface import SIGNATURES, c_type
from hyperfed.compiled.keeping import find, name_of

__all__ = ["Code", "builds_name", "load", "pack_code", "target_machine"]

_CALLED = ("memset", "memcpy", "memmove", "sqrt", "rint")  # what LLVM may make of a loop or a number's function


class Code:
    """The loops by name; each called as `interface.SIGNATURES` says. address: what a loop is given of an array, which must be contiguous and live on;
    null: of none. Lives as long as the process."""

    def __init__(self, engine: Any, functions: dict[str, Any], address: Any, null: Any) -> None:
        self._engine, self.address, self.null = engine, address, null
        for name, function in functions.items():
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def target_machine() -> Any:
    """LLVM's description of this processor, with everything it can do."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=_features(), opt=3, reloc="default", codemodel="jitdefault", jit=True)


def _features() -> str:
    return str(llvm.get_host_cpu_features().flatten())


def builds_name() -> str:
    """The name of this machine's build."""
    import llvmlite

    return name_of(f"llvmlite {llvmlite.__version__}", f"{llvm.get_host_cpu_name()} {_features()}")


def pack_code(names: dict[str, str], unreached: list[str], code: bytes) -> bytes:
    """A build as it is kept: the loops' names in the code, the names that are never reached, the code."""
    head = "\n".join([*(f"{name} {symbol}" for name, symbol in sorted(names.items())), *sorted(unreached)]).encode()
    return struct.pack("<II", len(names), len(head)) + head + code


def _address(library: ctypes.CDLL, name: str) -> int:
    """Of the C library's or Python's function of that name; of `abort`, where there is none."""
    function = getattr(library, name, None) or library.abort
    return int(ctypes.cast(function, ctypes.c_void_p).value or 0)


def load() -> Code | None:
    """The loops, where a build for this machine was kept. Raises what llvmlite raises where it is not one."""
    import _cffi_backend  # the run time only: `cffi` would bring a parser of C

    kept = find(builds_name())
    if kept is None:
        return None
    count, length = struct.unpack_from("<II", kept)
    lines = kept[8 : 8 + length].decode().split("\n")
    symbols = dict(line.split(" ") for line in lines[:count])
    if symbols.keys() != SIGNATURES.keys():
        return None
    library = ctypes.CDLL(None)
    for name in (*_CALLED, *lines[count:]):
        if llvm.address_of_symbol(name) is None:
            llvm.add_symbol(name, _address(library, name))
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(kept[8 + length :]))
    engine.finalize_object()
    ffi = _cffi_backend.FFI()
    functions = {name: ffi.cast(c_type(SIGNATURES[name]), engine.get_function_address(symbols[name])) for name in SIGNATURES}
    return Code(engine, functions, ffi.from_buffer, ffi.NULL)
