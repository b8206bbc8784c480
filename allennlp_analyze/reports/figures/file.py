"""Writes a figure as PNG, SVG or PDF with a caption."""

import struct
import zlib
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Callable, cast
from xml.sax.saxutils import escape

import numpy as np

from allennlp_analyze.storage.files import write_atomically
from allennlp_analyze.text.names import printable

if TYPE_CHECKING:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

# For flat areas, higher levels take twice the time for the same size.
PNG_COMPRESSION = 3
RGB = 2  # the colour type


@dataclass(frozen=True)
class Caption:
    """A description of a figure for people who cannot see it; must be printable."""

    title: str
    description: str


def save_figure(figure: "Figure", path: Path, fmt: str, caption: Caption) -> Path:
    """Save `figure`, made by `style.new_figure`, as png, svg or pdf. Raises `OutputError`."""
    write_atomically(path, drawn_figure(figure, fmt, caption))
    return path


def drawn_figure(figure: "Figure", fmt: str, caption: Caption) -> Callable[[BinaryIO], None]:
    """Draw `figure` as png, svg or pdf. Returns a function that writes it, even after it changes.

    Writing rarely holds the GIL, so it can run in parallel with the next drawing.
    """
    draw: Callable[[Figure, Caption], Callable[[BinaryIO], None]] = {
        "png": _drawn_png,
        "svg": _drawn_svg,
        "pdf": _drawn_pdf,
    }[fmt]
    return draw(figure, caption)


def _drawn_png(figure: "Figure", caption: Caption) -> Callable[[BinaryIO], None]:
    """Like `Figure.savefig` in half the time, which draws twice and tries filters on every row.

    Without filters the files are also smaller, because the figures have flat areas and sharp edges.
    """
    canvas = cast("FigureCanvasAgg", figure.canvas)
    canvas.draw()
    pixels = np.array(canvas.buffer_rgba())
    return partial(_write_png, pixels, round(figure.dpi / 0.0254), caption)


def _write_png(pixels: np.ndarray, per_metre: int, caption: Caption, file: BinaryIO) -> None:
    """Write `pixels` (height, width, 4), which are opaque because figures have a background."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each starts with 0: no filter
    rows[:, 1:].reshape(height, width, 3)[...] = pixels[..., :3]
    file.write(b"\x89PNG\r\n\x1a\n")
    _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 8, RGB, 0, 0, 0))
    _write_chunk(file, b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1))
    for keyword, text in (("Title", caption.title), ("Description", caption.description)):
        _write_chunk(file, b"iTXt", f"{keyword}\0\0\0\0\0{text}".encode())
    _write_chunk(file, b"IDAT", zlib.compress(rows.data, PNG_COMPRESSION))
    _write_chunk(file, b"IEND", b"")


def _write_chunk(file: BinaryIO, kind: bytes, content: bytes) -> None:
    check = zlib.crc32(content, zlib.crc32(kind))
    file.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check))


def _drawn_svg(figure: "Figure", caption: Caption) -> Callable[[BinaryIO], None]:
    """Draw text as text, with the caption where screen readers expect it (SVG 1.1, 5.4)."""
    drawn = BytesIO()
    # Without the date, the same numbers give the same file.
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    words = f"<title>{escape(caption.title)}</title>\n <desc>{escape(caption.description)}</desc>"
    before, start, rest = drawn.getvalue().decode("utf-8").partition("<svg ")
    attributes, end, content = rest.partition(">")
    return partial(
        _write, f'{before}{start}role="img" {attributes}{end}\n {words}{content}'.encode()
    )


def _drawn_pdf(figure: "Figure", caption: Caption) -> Callable[[BinaryIO], None]:
    """Write the caption in ASCII: matplotlib encodes other letters in a way few readers support."""
    metadata = {
        "Title": printable(caption.title, "ascii"),
        "Subject": printable(caption.description, "ascii"),
        "CreationDate": None,
    }
    drawn = BytesIO()
    figure.savefig(drawn, format="pdf", metadata=metadata)
    return partial(_write, drawn.getvalue())


def _write(content: bytes, file: BinaryIO) -> None:
    file.write(content)
