"""A figure as a PNG, SVG or PDF file, with a text that says what it shows."""

import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Callable, cast
from xml.sax.saxutils import escape

import numpy as np

from allennlp_analyze.reports.atomic import write_atomically
from allennlp_analyze.reports.names import printable

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
    writers: dict[str, Callable[[Figure, BinaryIO, Caption], None]] = {
        "png": _write_png,
        "svg": _write_svg,
        "pdf": _write_pdf,
    }
    write_atomically(path, lambda file: writers[fmt](figure, file, caption))
    return path


def _write_png(figure: "Figure", file: BinaryIO, caption: Caption) -> None:
    """As `Figure.savefig`, in half of the time: that draws twice, and tries filters on every row.

    Without filters the files are smaller too: the figures are flat areas and sharp edges.
    """
    from PIL import Image

    canvas = cast("FigureCanvasAgg", figure.canvas)
    canvas.draw()
    pixels = np.asarray(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"))
    height, width, channels = pixels.shape
    rows = np.zeros((height, 1 + channels * width), np.uint8)  # each begins with 0: no filter
    rows[:, 1:] = pixels.reshape(height, -1)
    per_metre = round(figure.dpi / 0.0254)
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


def _write_svg(figure: "Figure", file: BinaryIO, caption: Caption) -> None:
    """Text stays text; the caption is where screen readers look for it (SVG 1.1, section 5.4)."""
    drawn = BytesIO()
    # Without the date the same numbers make the same file.
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    words = f"<title>{escape(caption.title)}</title>\n <desc>{escape(caption.description)}</desc>"
    before, start, rest = drawn.getvalue().decode("utf-8").partition("<svg ")
    attributes, end, content = rest.partition(">")
    file.write(f'{before}{start}role="img" {attributes}{end}\n {words}{content}'.encode())


def _write_pdf(figure: "Figure", file: BinaryIO, caption: Caption) -> None:
    """The caption in ASCII: matplotlib writes other letters in an order that few readers know."""
    metadata = {
        "Title": printable(caption.title, "ascii"),
        "Subject": printable(caption.description, "ascii"),
        "CreationDate": None,
    }
    figure.savefig(file, format="pdf", metadata=metadata)
