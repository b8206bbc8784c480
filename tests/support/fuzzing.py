"""Changes small files at random, always the same for one seed, inside whatever contains them.

The mutations know containers, not formats: bytes, lengths, splices and cuts; JSON by its values;
below the checksums of gzip, zip and journals. So a new format is changed well without code here.
"""

import gzip
import hashlib
import io
import json
import random
import signal
import struct
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from allennlp_analyze.analysis.journal import CHECK
from allennlp_analyze.errors import AnalyzeError
from tests.support.mutated_reports import mutated_bytes, mutated_json

# The files of one input, by their names in a directory.
Files = Mapping[str, bytes]

ZIP, GZIP = b"PK\x03\x04", b"\x1f\x8b"
LENGTHS = (0, 1, 2, 3, 127, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40)
WIDE = (*LENGTHS, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
WORST_SECONDS = 20.0


@dataclass(frozen=True)
class Reader:
    """One reader: what it reads, and how.

    `seeds` writes small valid inputs; `read` reads one from its directory, and raises
    `AnalyzeError` if it is damaged.
    """

    seeds: Callable[[], Sequence[Files]]
    read: Callable[[Path], object]


class TooSlow(BaseException):
    """Raised in a reader that takes over WORST_SECONDS; no reader can take it for its own error."""


def mutation(seeds: Sequence[Files], number: int) -> dict[str, bytes]:
    """Returns one of the inputs `seeds`, changed as `number` says."""
    draw = random.Random(number)
    files = dict(draw.choice(seeds))
    name = draw.choice(sorted(files))
    others = [data for seed in seeds for data in seed.values()]
    files[name] = _changed(files[name], others, draw)
    return files


def _changed(data: bytes, others: Sequence[bytes], draw: random.Random, depth: int = 0) -> bytes:
    inside = None if depth > 2 or draw.random() < 0.25 else _INSIDE.get(_container(data))
    if inside is not None:
        return inside(data, lambda part: _changed(part, others, draw, depth + 1), draw)
    kind = draw.random()
    if kind < 0.35 and len(data) >= 8:
        return _with_number(data, draw)
    if kind < 0.5 and others:
        return _spliced(data, draw.choice(others), draw)
    return mutated_bytes(data, draw)


def _container(data: bytes) -> str:
    if data.startswith(GZIP):
        return "gzip"
    if data.startswith(ZIP):
        return "zip"
    if CHECK in data:
        return "journal"
    if data[8:9] == b"{":
        return "header"
    return "json" if data[:1] in (b"{", b"[") else ""


Change = Callable[[bytes], bytes]


def _in_gzip(data: bytes, change: Change, draw: random.Random) -> bytes:
    return gzip.compress(change(gzip.decompress(data)), 1)


def _in_zip(data: bytes, change: Change, draw: random.Random) -> bytes:
    """Changes one record under a correct checksum, or removes, repeats, renames or packs it."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(target, "w") as new:
        names = old.namelist()
        chosen, kind = draw.choice(names), draw.random()
        for name in names:
            content = old.read(name)
            if name != chosen:
                new.writestr(name, content)
            elif kind < 0.8:
                packing = zipfile.ZIP_DEFLATED if kind < 0.1 else zipfile.ZIP_STORED
                new.writestr(name, change(content), packing)
            elif kind < 0.9:
                renamed = (
                    mutated_bytes(name.encode(), draw).decode("utf-8", "replace").replace("\0", "?")
                )
                new.writestr(renamed or "x", content)
    return target.getvalue()


def _in_journal(data: bytes, change: Change, draw: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    index = draw.randrange(len(lines))
    text = lines[index].rpartition(CHECK)[0] + b"}"
    text = _in_json(text, change, draw).replace(b"\n", b" ")
    lines[index] = text[:-1] + CHECK + b"%d}\n" % zlib.crc32(text)
    return b"".join(lines)


def _in_header(data: bytes, change: Change, draw: random.Random) -> bytes:
    """Changes the JSON behind a length of eight bytes, which is put right."""
    length = int.from_bytes(data[:8], "little")
    header = _in_json(data[8 : 8 + length], change, draw)
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def _in_json(data: bytes, change: Change, draw: random.Random) -> bytes:
    try:
        return mutated_json(data, draw)
    except (ValueError, RecursionError, IndexError, KeyError, TypeError):
        return mutated_bytes(data, draw)


_INSIDE: dict[str, Callable[[bytes, Change, random.Random], bytes]] = {
    "gzip": _in_gzip,
    "zip": _in_zip,
    "journal": _in_journal,
    "header": _in_header,
    "json": _in_json,
}


def _with_number(data: bytes, draw: random.Random) -> bytes:
    """Replaces what may be a length or an offset: by a border of its type, or by one nearby."""
    code, numbers = draw.choice(
        [("<B", LENGTHS[:6]), ("<H", LENGTHS[:9]), ("<I", LENGTHS[:12]), ("<Q", WIDE)]
    )
    size = struct.calcsize(code)
    # Small numbers are where lengths are, mostly.
    places = [
        i
        for i in range(len(data) - size + 1)
        if 0 < int.from_bytes(data[i : i + size], "little") < 2**20
    ]
    at = (
        draw.choice(places[:4096])
        if places and draw.random() < 0.7
        else draw.randrange(len(data) - size + 1)
    )
    old = int.from_bytes(data[at : at + size], "little")
    value = draw.choice([*numbers, old + 1, max(old - 1, 0), 2 * old, len(data), len(data) - at])
    order = ">" if draw.random() < 0.15 else "<"
    return data[:at] + struct.pack(order + code[1], value % 256**size) + data[at + size :]


def _spliced(data: bytes, other: bytes, draw: random.Random) -> bytes:
    """Puts a piece of `other` into `data`, at a place where they agree if there is one."""
    if not data or not other:
        return data + other
    start = draw.randrange(len(other))
    piece = other[start : start + draw.choice([1, 8, 64, 1024])]
    found = data.find(other[start : start + 2])
    at = found if found >= 0 and draw.random() < 0.7 else draw.randrange(len(data))
    return data[:at] + piece + data[at + (len(piece) if draw.random() < 0.5 else 0) :]


@dataclass(frozen=True)
class Limits:
    """What one input may take: CPU seconds, and bytes that Python and numpy allocate at once."""

    seconds: float
    nbytes: int


def fault(reader: Reader, directory: Path, limits: Limits) -> "str | None":
    """What is wrong with how `reader` takes the input in `directory`; None if nothing is."""
    tracemalloc.start()
    started = time.process_time()
    try:
        with _stopped_after(WORST_SECONDS):
            reader.read(directory)
    except AnalyzeError as error:
        message = str(error)
        if "\n" in message or not message.isprintable() or len(message) > 2000:
            return f"its message is not one short line: {message!r:.300}"
    except TooSlow:
        return f"takes over {WORST_SECONDS} s"
    except Exception as error:
        return f"unexpected {type(error).__name__}: {error!s:.200}"
    finally:
        seconds = time.process_time() - started
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    if peak > limits.nbytes:
        return f"takes {peak >> 20} MiB"
    if seconds > limits.seconds:
        return f"takes {seconds:.1f} s"
    return None


@contextmanager
def _stopped_after(seconds: float) -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def write_files(files: Files, directory: Path) -> None:
    """Makes `files` all that is in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    for path in directory.iterdir():
        path.unlink()
    for name, data in files.items():
        (directory / name).write_bytes(data)


def keep(files: Files, corpus: Path) -> Path:
    """Writes `files` to a directory of their own in `corpus`, and returns it."""
    digest = hashlib.sha256(json.dumps(sorted((n, d.hex()) for n, d in files.items())).encode())
    directory = corpus / digest.hexdigest()[:12]
    write_files(files, directory)
    return directory
