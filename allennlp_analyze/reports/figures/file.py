"""A figure as a PNG, SVG or PDF file, with a text that says what it shows."""

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

# Of flat areas, higher levels take twice the time for the same size.
PNG_COMPRESSION = 3
RGB = 2  # the colour type


@dataclass(frozen=True)
class Caption:
    """What a figure shows, in words, for those who cannot see it; printable, from `printable`."""

    title: str
    description: str


def save_figure(figure: "Figure", path: Path, fmt: str, caption: Caption) -> Path:
    """Save `figure`, made by `style.new_figure`, as png, svg or pdf. Raises `OutputError`."""
    write_atomically(path, drawn_figure(figure, fmt, caption))
    return path


def drawn_figure(figure: "Figure", fmt: str, caption: Caption) -> Callable[[BinaryIO], None]:
    """Draw `figure` as png, svg or pdf; what writes it, whatever becomes of the figure meanwhile.

    Writing takes Python's lock for little of its time: it can go on beside the next drawing.
    """
    draw: Callable[[Figure, Caption], Callable[[BinaryIO], None]] = {
        "png": _drawn_png,
        "svg": _drawn_svg,
        "pdf": _drawn_pdf,
    }[fmt]
    return draw(figure, caption)


def _drawn_png(figure: "Figure", caption: Caption) -> Callable[[BinaryIO], None]:
    """As `Figure.savefig`, in half of the time: that draws twice, and tries filters on every row.

    Without filters the files are smaller too: the figures are flat areas and sharp edges.
    """
    canvas = cast("FigureCanvasAgg", figure.canvas)
    canvas.draw()
    pixels = np.array(canvas.buffer_rgba())
    return partial(_write_png, pixels, round(figure.dpi / 0.0254), caption)


def _write_png(pixels: np.ndarray, per_metre: int, caption: Caption, file: BinaryIO) -> None:
    """`pixels` (height, width, 4): opaque, as figures have a background."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each begins with 0: no filter
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
    """Text stays text; the caption is where screen readers look for it (SVG 1.1, section 5.4)."""
    drawn = BytesIO()
    # Without the date the same numbers make the same file.
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    words = f"<title>{escape(caption.title)}</title>\n <desc>{escape(caption.description)}</desc>"
    before, start, rest = drawn.getvalue().decode("utf-8").partition("<svg ")
    attributes, end, content = rest.partition(">")
    return partial(
        _write, f'{before}{start}role="img" {attributes}{end}\n {words}{content}'.encode()
    )


def _drawn_pdf(figure: "Figure", caption: Caption) -> Callable[[BinaryIO], None]:
    """The caption in ASCII: matplotlib writes other letters in an order that few readers know."""
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
