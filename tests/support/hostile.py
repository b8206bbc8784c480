"""Pickles that want to be more than weights, and the files that carry them."""

import gzip
import io
import pickle
import struct
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

LEGACY_HEAD = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True})


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def called(module: str, name: str, *arguments: bytes) -> bytes:
    """The opcodes that call a global with `arguments`, opcodes too."""
    return f"c{module}\n{name}\n(".encode() + b"".join(arguments) + b"tR"


def legacy_file(pickled: bytes, keys: "tuple[str, ...]" = (), storages: bytes = b"") -> bytes:
    head = b"".join(pickle.dumps(item, 2) for item in LEGACY_HEAD)
    return head + pickled + pickle.dumps(list(keys), 2) + storages


def zip_file(pickled: bytes, records: "dict[str, bytes] | None" = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in {"data.pkl": pickled, **(records or {})}.items():
            archive.writestr(f"archive/{name}", content)
    return buffer.getvalue()


def tar_file(pickled: bytes) -> bytes:
    """torch's oldest tar format."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            info = tarfile.TarInfo(name)
            info.size = len(pickled)
            tar.addfile(info, io.BytesIO(pickled))
    return buffer.getvalue()


def archive(members: "list[tuple[str, bytes]]") -> bytes:
    """A model.tar.gz."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), 1)


FORMATS: "dict[str, Callable[[bytes], bytes]]" = {
    "legacy": legacy_file,
    "zip": zip_file,
    "tar": tar_file,
    "plain": bytes,
}


@dataclass(frozen=True)
class Attack:
    """`pickled(canary)` makes the file `canary` when Python's pickle loads it, or, where `bites` is
    False, needs torch or is stopped by Python itself; `names` is what our message must name."""

    names: str
    pickled: "Callable[[Path], bytes]"
    bites: bool = True


def _touch(canary: Path) -> bytes:
    return text(f"touch '{canary}'")


def _write(canary: Path) -> str:
    return f"open({str(canary)!r}, 'w').close()"


def _chain(canary: Path) -> bytes:
    """getattr(getattr(os, 'path'), ...) and so on: builtins that lead to any function."""
    module = called("builtins", "__import__", text("os"))
    function = b"cbuiltins\ngetattr\n(" + module + text("system") + b"tR"
    return b"\x80\x02" + function + b"(" + _touch(canary) + b"tR."


def _stack_global(module: str, name: str, argument: bytes) -> bytes:
    return b"\x80\x04" + text(module) + text(name) + b"\x93" + argument + b"\x85R."


ATTACKS: "dict[str, Attack]" = {
    "os.system": Attack(
        "posix.system", lambda c: b"\x80\x02" + called("posix", "system", _touch(c)) + b"."
    ),
    "os.system by two names": Attack(
        "os.system", lambda c: _stack_global("os", "system", _touch(c))
    ),
    "subprocess": Attack(
        "subprocess.check_call",
        lambda c: (
            b"\x80\x02"
            + called("subprocess", "check_call", b"]" + text("touch") + b"a" + text(str(c)) + b"a")
            + b"."
        ),
    ),
    "eval": Attack(
        "builtins.eval", lambda c: b"\x80\x02" + called("builtins", "eval", text(_write(c))) + b"."
    ),
    "exec": Attack(
        "builtins.exec", lambda c: b"\x80\x02" + called("builtins", "exec", text(_write(c))) + b"."
    ),
    "exec of Python 2": Attack(
        "__builtin__.eval",
        lambda c: b"\x80\x02" + called("__builtin__", "eval", text(_write(c))) + b".",
    ),
    "open": Attack(
        "io.open", lambda c: b"\x80\x02" + called("io", "open", text(str(c)), text("w")) + b"."
    ),
    "getattr chain": Attack("builtins.__import__", _chain),
    "import": Attack(
        "builtins.__import__",
        lambda c: b"\x80\x02" + called("builtins", "__import__") + b".",
        False,
    ),
    "runpy": Attack(
        "runpy.run_path",
        lambda c: b"\x80\x02" + called("runpy", "run_path", text(str(c))) + b".",
        False,
    ),
    "dotted name": Attack(
        "os.path.os.system", lambda c: _stack_global("os", "path.os.system", _touch(c))
    ),
    "dotted name through torch": Attack(
        "torch.os.system", lambda c: _stack_global("torch", "os.system", _touch(c))
    ),
    "globals of what is allowed": Attack(
        "_rebuild_tensor_v2.__globals__",
        lambda c: (
            b"\x80\x04" + text("torch._utils") + text("_rebuild_tensor_v2.__globals__") + b"\x93."
        ),
        False,
    ),
    "instance": Attack("os.system", lambda c: b"(" + _touch(c) + b"ios\nsystem\n."),
    "object": Attack("os.system", lambda c: b"(cos\nsystem\n" + _touch(c) + b"o."),
    "new object": Attack(
        "os.system", lambda c: b"\x80\x02cos\nsystem\n" + _touch(c) + b"\x85\x81.", False
    ),
    "torch.load": Attack(
        "torch.serialization.load",
        lambda c: b"\x80\x02" + called("torch.serialization", "load", text(str(c))) + b".",
        False,
    ),
    "torch.hub": Attack(
        "torch.hub.load",
        lambda c: b"\x80\x02" + called("torch.hub", "load", text(str(c.parent)), text("x")) + b".",
        False,
    ),
    "nested checkpoint": Attack(
        "torch.storage._load_from_bytes",
        lambda c: b"\x80\x02" + called("torch.storage", "_load_from_bytes", b"C\x01x") + b".",
        False,
    ),
    "torch.jit": Attack(
        "torch.jit._script.unpackage_script_module",
        lambda c: b"\x80\x02" + called("torch.jit._script", "unpackage_script_module") + b".",
        False,
    ),
    "numpy.load": Attack(
        "numpy.load", lambda c: b"\x80\x02" + called("numpy", "load", text(str(c))) + b".", False
    ),
    "numpy.testing": Attack(
        "numpy.testing._private.utils.runstring",
        lambda c: (
            b"\x80\x02"
            + called("numpy.testing._private.utils", "runstring", text(_write(c)), b"}")
            + b"."
        ),
        False,
    ),
    "build on an allowed function": Attack(
        "attributes",
        lambda c: b"\x80\x02ctorch._utils\n_rebuild_tensor\n}" + text("dump_patches") + b"\x88sb.",
        False,
    ),
    "build on a storage class": Attack(
        "attributes",
        lambda c: b"\x80\x02ctorch\nFloatStorage\n}" + text("dump_patches") + b"\x88sb.",
        False,
    ),
    "call of a storage class": Attack(
        "calls", lambda c: b"\x80\x02ctorch\nFloatStorage\n(K\x01tR.", False
    ),
    "module record": Attack(
        "'module'",
        lambda c: (
            b"\x80\x02("
            + text("module")
            + b"ctorch.nn.parameter\nParameter\n"
            + text(str(c))
            + text("source")
            + b"tQ."
        ),
        False,
    ),
    "other record": Attack(
        "'source'", lambda c: b"\x80\x02(" + text("source") + text(str(c)) + b"NNNtQ.", False
    ),
    "extension registry": Attack("opcode", lambda c: b"\x80\x02\x82\x01.", False),
    "text record": Attack("opcode", lambda c: b"Pmodule\n.", False),
    "buffers": Attack("opcode", lambda c: b"\x80\x05\x97.", False),
    "a second pickle inside": Attack(
        "_pickle.loads",
        lambda c: (
            b"\x80\x02" + called("_pickle", "loads", _sized(pickle.dumps(_Touching(c), 2))) + b"."
        ),
    ),
    "behind a state dict": Attack(
        "posix.system",
        lambda c: b"\x80\x02}" + text("w") + called("posix", "system", _touch(c)) + b"s.",
    ),
    "as an attribute of a state dict": Attack(
        "posix.system",
        lambda c: (
            b"\x80\x02ccollections\nOrderedDict\n)R}"
            + text("_metadata")
            + called("posix", "system", _touch(c))
            + b"sb."
        ),
    ),
    "as a factory": Attack(
        "posix.system",
        lambda c: b"\x80\x02" + called("collections", "defaultdict", b"cposix\nsystem\n") + b".",
        False,
    ),
    "popped again": Attack(
        "posix.system",
        lambda c: b"\x80\x02" + called("posix", "system", _touch(c)) + b"0}.",
    ),
}


class _Touching:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> "tuple[object, tuple[str]]":
        import os

        return os.system, (f"touch '{self.canary}'",)


def _sized(content: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(content)) + content
