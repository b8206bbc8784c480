"""A member of an enumeration, as some versions of Python pickle it, and every other getattr."""

import pytest

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.sources.pickles.machine import unpickle
from tests.support.hostile import called, text


def member(owner: bytes, *names: bytes) -> bytes:
    """What Python 3.11.0 to 3.11.3 writes for a member of an enumeration."""
    return b"\x80\x02" + called("builtins", "getattr", owner, *names) + b"."


def test_a_member_of_an_enumeration_is_inert() -> None:
    """Other versions of Python write another form, so it is written by hand here."""
    found = unpickle(member(b"cmine\nColour\n", text("RED"))).value
    assert type(found).__name__ == "Inert"


@pytest.mark.parametrize(
    "owner, names",
    [
        (text("a"), [text("b")]),
        (b"cmine\nColour\n)R", [text("RED")]),
        (b"ctorch._utils\n_rebuild_tensor\n", [text("RED")]),
        (b"cbuiltins\ngetattr\n", [text("RED")]),
        (b"cmine\nColour\n", [text("__globals__")]),
        (b"cmine\nColour\n", [text("_RED")]),
        (b"cmine\nColour\n", [text("os")]),
        (b"cmine\nColour\n", [text("system")]),
        (b"cmine\nColour\n", [text("RED.x")]),
        (b"cmine\nColour\n", [text("RED"), b"N"]),
        (b"cmine\nColour\n", []),
        (b"cmine\nColour\n", [b"K\x01"]),
    ],
)
def test_any_other_attribute_is_refused(owner: bytes, names: "list[bytes]") -> None:
    with pytest.raises(CheckpointError, match="asks for builtins.getattr, with which"):
        unpickle(member(owner, *names))


def test_a_member_of_an_enumeration_cannot_be_called() -> None:
    pickled = member(b"cmine\nColour\n", text("RED"))[:-1] + b")R."
    with pytest.raises(CheckpointError, match="calls a disallowed object"):
        unpickle(pickled)
