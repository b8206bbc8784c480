"""Reads the pickle `.metadata` as plain records: nothing is imported, called or hashed.

It keeps objects as keys of dictionaries, which the machine of `sources.pickles` rightly refuses:
here a dictionary is a list of pairs.
"""

import struct
from dataclasses import dataclass, field
from typing import Callable, Optional

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.pickles.reader import Reader
from allennlp_analyze.text.lines import excerpt

MAX_BYTES = 256 * 2**20
MAX_OPERATIONS = 10_000_000
_MAX_MARKS = 1_000
_MAX_INTEGER_BYTES = 8


@dataclass(frozen=True)
class Name:
    """A global, never looked up."""

    module: str
    name: str


@dataclass(eq=False)
class Record:
    """An object: its class or the function that would make it, arguments, state, pairs, items."""

    made_by: object
    arguments: tuple[object, ...] = ()
    state: object = None
    pairs: list[tuple[object, object]] = field(default_factory=list)
    items: list[object] = field(default_factory=list)

    def get(self, key: str) -> object:
        """The attribute `key`, None if it is not set."""
        state = self.state if isinstance(self.state, Record) else None
        for name, value in state.pairs if state is not None else ():
            if name == key and type(name) is str:
                return value
        return None

    def is_a(self, name: str) -> bool:
        return isinstance(self.made_by, Name) and self.made_by.name == name


DICT, LIST = Name("builtins", "dict"), Name("builtins", "list")


def read_plain(data: bytes) -> object:
    """Returns what the pickle describes. Raises `CheckpointError` if it is damaged or too large."""
    try:
        return _Machine(data).run()
    except (IndexError, KeyError, ValueError, TypeError, struct.error) as error:
        raise CheckpointError(f"its pickle is damaged ({excerpt(error)})") from None


class _Machine(Reader):
    def __init__(self, data: bytes) -> None:
        super().__init__(data, 0, MAX_BYTES)
        self._stack: list[object] = []
        self._marks: list[list[object]] = []
        self._memo: list[object] = []

    def run(self) -> object:
        for _ in range(MAX_OPERATIONS):
            code = self._take(1)[0]
            if code == 0x2E:  # STOP
                return self._stack.pop()
            operation = _OPERATIONS.get(code)
            if operation is None:
                raise CheckpointError(f"its pickle uses the unsupported opcode {bytes([code])!r}")
            operation(self)
        raise CheckpointError(f"its pickle has more than {MAX_OPERATIONS} operations")

    def number(self, code: str) -> int:
        return self._number(code)

    def skip(self, size: int) -> None:
        self._take(size)

    def push(self, value: object) -> None:
        self._stack.append(value)

    def mark(self) -> None:
        if len(self._marks) >= _MAX_MARKS:
            raise CheckpointError(f"its pickle is nested more than {_MAX_MARKS} levels deep")
        self._marks.append(self._stack)
        self._stack = []

    def marked(self) -> list[object]:
        items, self._stack = self._stack, self._marks.pop()
        return items

    def text(self, code: str) -> None:
        self.push(self.string(code))

    def raw(self, code: str) -> None:
        self.push(self._sized(code))

    def tuple_of(self, size: int) -> None:
        items = tuple(self._popped() for _ in range(size))
        self.push(items[::-1])

    def _popped(self) -> object:
        return self._stack.pop()

    def memoize(self) -> None:
        self._memo.append(self._stack[-1])

    def put(self, index: int) -> None:
        if index != len(self._memo):
            raise CheckpointError("its pickle is damaged (its memo has gaps)")
        self.memoize()

    def get(self, index: int) -> None:
        self.push(self._memo[index])

    def stack_global(self) -> None:
        name, module = self._popped(), self._popped()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise CheckpointError("its pickle is damaged (a name that is not text)")
        self.push(Name(module, name))

    def call(self) -> None:
        arguments, function = self._popped(), self._popped()
        if not isinstance(arguments, tuple):
            raise CheckpointError("its pickle is damaged (arguments that are no tuple)")
        self.push(Record(function, arguments))

    def build(self) -> None:
        state, target = self._popped(), self._record()
        target.state = state

    def append(self, items: list[object]) -> None:
        self._record().items.extend(items)

    def set_items(self, items: list[object]) -> None:
        self._record().pairs.extend(zip(items[::2], items[1::2]))

    def set_item(self) -> None:
        value, key = self._popped(), self._popped()
        self._record().pairs.append((key, value))

    def _record(self) -> Record:
        target = self._stack[-1]
        if not isinstance(target, Record):
            raise CheckpointError("its pickle is damaged (it sets items of no object)")
        return target


def _constant(value: object) -> Callable[[_Machine], None]:
    return lambda m: m.push(value)


def _ignore(size: int) -> Callable[[_Machine], None]:
    return lambda m: m.skip(size)


def _number(code: str) -> Callable[[_Machine], None]:
    return lambda m: m.push(m.number(code))


# The opcodes that Python's pickle writes since protocol 2, by their values.
_OPERATIONS: dict[int, Callable[[_Machine], None]] = {
    ord("\x80"): _ignore(1),
    ord("\x95"): _ignore(8),
    ord("("): _Machine.mark,
    ord("N"): _constant(None),
    0x88: _constant(True),
    0x89: _constant(False),
    ord("J"): _number("<i"),
    ord("K"): _number("<B"),
    ord("M"): _number("<H"),
    ord("G"): _number(">d"),
    0x8A: lambda m: m.push(m.long("<B", _MAX_INTEGER_BYTES)),
    ord("X"): lambda m: m.text("<I"),
    0x8C: lambda m: m.text("<B"),
    0x8D: lambda m: m.text("<Q"),
    ord("B"): lambda m: m.raw("<I"),
    ord("C"): lambda m: m.raw("<B"),
    ord(")"): _constant(()),
    ord("t"): lambda m: m.push(tuple(m.marked())),
    0x85: lambda m: m.tuple_of(1),
    0x86: lambda m: m.tuple_of(2),
    0x87: lambda m: m.tuple_of(3),
    ord("]"): lambda m: m.push(Record(LIST)),
    ord("a"): lambda m: m.append([m._popped()]),
    ord("e"): lambda m: m.append(m.marked()),
    ord("}"): lambda m: m.push(Record(DICT)),
    ord("s"): _Machine.set_item,
    ord("u"): lambda m: m.set_items(m.marked()),
    0x8F: lambda m: m.push(Record(Name("builtins", "set"))),
    0x90: lambda m: m.append(m.marked()),
    0x94: _Machine.memoize,
    ord("q"): lambda m: m.put(m.number("<B")),
    ord("r"): lambda m: m.put(m.number("<I")),
    ord("h"): lambda m: m.get(m.number("<B")),
    ord("j"): lambda m: m.get(m.number("<I")),
    0x93: _Machine.stack_global,
    ord("R"): _Machine.call,
    0x81: _Machine.call,
    ord("b"): _Machine.build,
}


def integers(value: object, most: int) -> Optional[tuple[int, ...]]:
    """The numbers of a torch.Size, tuple or list, None if it is anything else."""
    if isinstance(value, Record):
        if value.is_a("Size") and len(value.arguments) == 1:
            value = value.arguments[0]
        elif value.is_a("list"):
            value = tuple(value.items[: most + 1])
    if not isinstance(value, tuple) or len(value) > most:
        return None
    if any(type(n) is not int or n < 0 for n in value):
        return None
    return tuple(n for n in value if isinstance(n, int))
