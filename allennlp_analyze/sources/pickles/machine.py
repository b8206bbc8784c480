"""A pickle machine that describes objects and never executes code.

It knows the opcodes that tensors need, named as in Python's pickletools, protocols 0 to 5. It
imports nothing and creates no object that the pickle chooses: a global has the meaning that the
module `globals` gives it, and an object of any other class is a stand-in that does nothing.
"""

import struct
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Callable

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.pickles.arrays import NumpyArray, described_array
from allennlp_analyze.sources.pickles.description import (
    Builder,
    Inert,
    StandIn,
    StorageRef,
    TensorRef,
    Unknown,
)
from allennlp_analyze.sources.pickles.globals import resolve, safe_key
from allennlp_analyze.sources.pickles.integers import integer, integers
from allennlp_analyze.sources.pickles.reader import Buffer, Reader
from allennlp_analyze.sources.pickles.storages import class_of, storage_of
from allennlp_analyze.text.lines import excerpt

MAX_OPERATIONS = 3_000_000
MAX_MARKS = 1_000
MAX_MEMO_INDEX = 2**32

_DAMAGE = (IndexError, KeyError, ValueError, TypeError, AttributeError, struct.error, OverflowError)
_RESOURCES = (RecursionError, MemoryError)


@dataclass(frozen=True)
class Unpickled:
    """A described object, the end of its pickle, and the first mention of each storage by key."""

    value: object
    end: int
    storages: dict[str, StorageRef]


def unpickle(data: Buffer, start: int = 0, folder: str = "") -> Unpickled:
    """Describe the object whose pickle starts at byte `start` of `data`.

    `folder` is put before the keys of storages. Raises `CheckpointError` for a damaged, oversized
    or unsafe pickle.
    """
    try:
        return Machine(data, start, folder).run()
    except _DAMAGE as error:
        raise CheckpointError(f"its pickle is damaged ({excerpt(error)})") from None
    except _RESOURCES:
        raise CheckpointError("its pickle needs too much memory") from None


class Machine(Reader):
    """One run of the machine: position in `data`, stack, marks and memo."""

    def __init__(self, data: Buffer, start: int, folder: str = "") -> None:
        super().__init__(data, start)
        self._folder = folder
        self._stack: list[object] = []
        self._below_marks: list[list[object]] = []
        self._memo: dict[int, object] = {}
        self._storages: dict[str, StorageRef] = {}
        self._arrays = 0

    def run(self) -> Unpickled:
        for _ in range(MAX_OPERATIONS):
            opcode = self._take(1)
            if opcode == b".":
                return Unpickled(self._stack.pop(), self._position, self._storages)
            operation = _OPERATIONS.get(opcode)
            if operation is None:
                raise CheckpointError(f"its pickle uses the unsupported opcode {opcode!r}")
            operation(self)
        raise CheckpointError(f"its pickle has more than {MAX_OPERATIONS} operations")

    # Stack

    def push(self, value: object) -> None:
        self._stack.append(value)

    def mark(self) -> None:
        if len(self._below_marks) >= MAX_MARKS:
            raise CheckpointError(f"its pickle is nested more than {MAX_MARKS} levels deep")
        self._below_marks.append(self._stack)
        self._stack = []

    def pop_mark(self) -> list[object]:
        items = self._stack
        self._stack = self._below_marks.pop()
        return items

    def pop(self) -> None:
        # As in pickle: POP on an empty frame removes the mark itself.
        if self._stack:
            self._stack.pop()
        else:
            self.pop_mark()

    def tuple_of(self, size: int) -> None:
        if len(self._stack) < size:
            raise CheckpointError("its pickle is damaged (the stack is empty)")
        items = tuple(self._stack[-size:])
        del self._stack[-size:]
        self.push(items)

    # Containers

    def append(self, items: list[object]) -> None:
        target = self._stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, StandIn):
            target.append(items)
        elif not isinstance(target, Inert):
            raise CheckpointError("its pickle appends to an object that is not a list")

    def set_items(self, items: list[object]) -> None:
        target = self._stack[-1]
        if len(items) % 2:
            raise CheckpointError("its pickle is damaged (a key without a value)")
        if isinstance(target, Inert):
            return
        if isinstance(target, StandIn):
            for key, value in zip(items[::2], items[1::2]):
                target.set_item(safe_key(key), value)
            return
        if not isinstance(target, dict):
            raise CheckpointError("its pickle sets items of an object that is not a dictionary")
        for key, value in zip(items[::2], items[1::2]):
            target[safe_key(key)] = value

    def dictionary(self) -> None:
        items = self.pop_mark()
        self.push({})
        self.set_items(items)

    def frozenset(self) -> None:
        self.push(StandIn("builtins.frozenset", tuple(self.pop_mark())))

    def set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self.set_items([key, value])

    # Memo

    def put(self, index: int) -> None:
        # Larger ones, possible only in protocol 0, could be chosen so that their hashes collide.
        if integer(index, "memo index") >= MAX_MEMO_INDEX:
            raise CheckpointError("its pickle uses a memo index of more than 32 bits")
        self._memo[index] = self._stack[-1]

    def get(self, index: int) -> None:
        if index not in self._memo:
            raise CheckpointError("its pickle is damaged (it refers to a missing memo entry)")
        self.push(self._memo[index])

    def memoize(self) -> None:
        self.put(len(self._memo))

    # Objects

    def stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise CheckpointError("its pickle names a global by a value that is not a string")
        self.push(resolve(module, name))

    def line_global(self) -> None:
        module = self._line()
        self.push(resolve(module, self._line()))

    def instance(self) -> None:
        module = self._line()
        self._old_object(resolve(module, self._line()), self.pop_mark())

    def old_class(self) -> None:
        made_by, *arguments = self.pop_mark()
        self._old_object(made_by, arguments)

    def _old_object(self, made_by: object, arguments: list[object]) -> None:
        if not isinstance(made_by, Unknown):
            raise CheckpointError("its pickle calls a disallowed object")
        self.push(StandIn(made_by, tuple(arguments)))

    def reduce(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if isinstance(arguments, tuple) and isinstance(function, (Unknown, StandIn)):
            # Whatever an unknown function would return, it is another stand-in here.
            made_by = function if isinstance(function, Unknown) else function.made_by
            self.push(StandIn(made_by, arguments))
            return
        if not (isinstance(function, Builder) and isinstance(arguments, tuple)):
            raise CheckpointError("its pickle calls a disallowed object")
        made = function.build(arguments)
        if isinstance(made, NumpyArray):
            self._describe(made)
        self.push(made)

    def new_with_keywords(self) -> None:
        keywords = self._stack.pop()
        if keywords != {} and isinstance(self._stack[-2], Unknown):
            arguments, made_by = self._stack.pop(), self._stack.pop()
            self.push(StandIn(made_by, (arguments, keywords)))
            return
        if keywords != {}:
            raise CheckpointError(
                "its pickle creates an object with keyword arguments, which is not supported"
            )
        self.reduce()

    def build(self) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if isinstance(target, StandIn):
            target.state = state
            if isinstance(target, NumpyArray):
                self._describe(target)
        # torch sets `_metadata` on a state dict; no tensor depends on it.
        elif not isinstance(target, (OrderedDict, Inert, TensorRef, Unknown)):
            raise CheckpointError("its pickle sets attributes, but not those of a state dict")

    def _describe(self, array: NumpyArray) -> None:
        """Describe a numpy array as a tensor as soon as it has its contents."""
        self._arrays += 1
        array.tensor = described_array(array, f"numpy {self._arrays}", integers)

    def persistent(self) -> None:
        pid = self._stack.pop()
        made_by = class_of(pid)
        if made_by is not None:
            self.push(made_by)
            return
        storage = storage_of(pid)
        storage = replace(storage, key=self._folder + storage.key) if self._folder else storage
        self._storages.setdefault(storage.key, storage)
        self.push(storage)


def _constant(value: object) -> Callable[[Machine], None]:
    return lambda m: m.push(value)


def _number(code: str) -> Callable[[Machine], None]:
    return lambda m: m.push(m._number(code))


def _bytes(code: str) -> Callable[[Machine], None]:
    return lambda m: m.push(m._sized(code))


def _text(code: str) -> Callable[[Machine], None]:
    return lambda m: m.push(m.string(code))


_OPERATIONS: dict[bytes, Callable[[Machine], None]] = {
    b"\x80": lambda m: _discard(m._take(1)),
    b"\x95": Reader.frame,
    b"(": Machine.mark,
    b"0": Machine.pop,
    b"1": lambda m: _discard(m.pop_mark()),
    b"2": lambda m: m.push(m._stack[-1]),
    b"N": _constant(None),
    b"\x88": _constant(True),
    b"\x89": _constant(False),
    b"I": lambda m: m.push(m.text_integer()),
    b"L": lambda m: m.push(m.text_long()),
    b"F": lambda m: m.push(float(m._line())),
    b"G": _number(">d"),
    b"J": _number("<i"),
    b"K": _number("<B"),
    b"M": _number("<H"),
    b"\x8a": lambda m: m.push(m.long("<B")),
    b"\x8b": lambda m: m.push(m.long("<i")),
    b"V": lambda m: m.push(m.text_line()),
    b"T": lambda m: m.push(m.old_string("<i")),
    b"U": lambda m: m.push(m.old_string("<B")),
    b"X": _text("<I"),
    b"\x8c": _text("<B"),
    b"\x8d": _text("<Q"),
    b"B": _bytes("<I"),
    b"C": _bytes("<B"),
    b"\x8e": _bytes("<Q"),
    b"\x96": _bytes("<Q"),
    b")": _constant(()),
    b"t": lambda m: m.push(tuple(m.pop_mark())),
    b"\x85": lambda m: m.tuple_of(1),
    b"\x86": lambda m: m.tuple_of(2),
    b"\x87": lambda m: m.tuple_of(3),
    b"]": lambda m: m.push([]),
    b"l": lambda m: m.push(m.pop_mark()),
    b"a": lambda m: m.append([m._stack.pop()]),
    b"e": lambda m: m.append(m.pop_mark()),
    b"}": lambda m: m.push({}),
    b"d": Machine.dictionary,
    b"s": Machine.set_item,
    b"u": lambda m: m.set_items(m.pop_mark()),
    b"\x8f": lambda m: m.push(StandIn("builtins.set")),
    b"\x90": lambda m: m.append(m.pop_mark()),
    b"\x91": Machine.frozenset,
    b"p": lambda m: m.put(m._parsed(m._line())),
    b"q": lambda m: m.put(m._number("<B")),
    b"r": lambda m: m.put(m._number("<I")),
    b"\x94": Machine.memoize,
    b"g": lambda m: m.get(m._parsed(m._line())),
    b"h": lambda m: m.get(m._number("<B")),
    b"j": lambda m: m.get(m._number("<I")),
    b"c": Machine.line_global,
    b"i": Machine.instance,
    b"o": Machine.old_class,
    b"\x93": Machine.stack_global,
    b"R": Machine.reduce,
    b"\x81": Machine.reduce,
    b"\x92": Machine.new_with_keywords,
    b"b": Machine.build,
    b"Q": Machine.persistent,
}


def _discard(_: object) -> None:
    return None
