"""LLVM's text to machine code of this processor, and machine code into this process."""

import ctypes
import functools
import os
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm

from actfun._backends.cpu import cache
from actfun._backends.cpu.loops import BUILTIN
from actfun._once import working

SETTING = "ACTFUN_CPU"  # "name:features", as LLVM names them, for another processor's instructions than this one's


@functools.cache
def processor() -> tuple[str, str]:
    """The name and features, as LLVM names them, of the processor that code is made for."""
    if setting := os.environ.get(SETTING):
        name, _, features = setting.partition(":")
        return name, features
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def lanes() -> int:
    """How many float32 a vector holds."""
    features = processor()[1].split(",")
    return 16 if "+avx512f" in features else 8 if "+avx2" in features else 4


@functools.cache
def _target() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = processor()
    return llvm.Target.from_default_triple().create_target_machine(cpu=name, features=features, opt=3, jit=True)


@functools.cache
def _engine() -> Any:
    """Where code lives; nothing is ever taken out."""
    for name in ("PyLong_AsLongLong", "PyLong_FromLongLong"):
        llvm.add_symbol(name, ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value)
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target())


def compile_ir(text: str) -> bytes:
    """An object file. No flag lets LLVM contract or reorder arithmetic."""
    module = llvm.parse_assembly(text)
    module.triple, module.data_layout = _target().triple, str(_target().target_data)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    passes = llvm.create_pass_builder(_target(), options)
    passes.getModulePassManager().run(module, passes)
    code: bytes = _target().emit_object(module)
    return code


class _Method(ctypes.Structure):
    """What Python knows of a function in C (its PyMethodDef)."""

    _fields_ = (("name", ctypes.c_char_p), ("code", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p))


FASTCALL = 0x80  # the function takes itself, an array of arguments and their number
_methods: list[_Method] = []  # Python keeps a pointer to each


def _builtin(address: int) -> Any:
    """A function in C as one of Python's own."""
    new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.POINTER(_Method), ctypes.c_void_p, ctypes.c_void_p)(
        ("PyCFunction_NewEx", ctypes.pythonapi)
    )
    _methods.append(_Method(b"kernel", address, FASTCALL, None))
    return new(ctypes.byref(_methods[-1]), None, None)


class Function:
    """Machine code of a function of integers. Calling it lets other threads of Python run; `builtin` does not.

    builtin takes a tenth of the time to be called; address is where the code starts.
    """

    def __init__(self, address: int, builtin: int, arguments: int) -> None:
        self.address, self.builtin = address, _builtin(builtin)
        self._call = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arguments)(address)

    def __call__(self, *arguments: int) -> None:
        self._call(*arguments)


def function(key: str, text: Callable[[str], str], arguments: int) -> Function:
    """The function that `text(name)` defines, from the cache on disk if it is there.

    key: tells the text from all others of this version; the processor and LLVM need not be in it.
    """
    with working:
        key = cache.digest(key, *processor(), llvm.get_default_triple(), str(llvm.llvm_version_info))
        name = f"actfun_{key}"
        code = cache.get_or_create(f"{key}.o", lambda: compile_ir(text(name)))
        engine = _engine()
        engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
        engine.finalize_object()
        return Function(engine.get_function_address(name), engine.get_function_address(name + BUILTIN), arguments)
