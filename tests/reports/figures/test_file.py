"""Files of figures: text that stays text, embedded fonts, a caption, and a reasonable size."""

import re
import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from allennlp_analyze.reports.figures import plots
from allennlp_analyze.reports.figures.model import MODEL_PLOTS
from allennlp_analyze.reports.figures.plots import layer_caption, write_plots
from allennlp_analyze.reports.figures.style import house_style
from allennlp_analyze.text.names import NAME_WIDTH, printable, shorten
from tests.support.figure_cases import LONG_NAME, MODELS, large, write_layer, write_model
from tests.support.report_factory import (
    ODD_NAMES,
    heavy_tailed,
    make_layer,
    make_report,
    odd_report,
)

pytestmark = [pytest.mark.newest_python, pytest.mark.no_cover]
SVG = "{http://www.w3.org/2000/svg}"


def test_png_files_hold_what_matplotlib_draws(tmp_path: Path) -> None:
    layer = make_layer(heavy_tailed(300, 200), "name_\u00e9")
    path = write_layer(layer, tmp_path, "png")
    expected = BytesIO()
    with house_style():
        plots.draw_layer(plots.new_layer_figure(), layer).savefig(expected, format="png")
    ours, theirs = Image.open(path), Image.open(expected)
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs.convert("RGB")))
    assert theirs.getextrema()[3] == (255, 255), "opaque: nothing is lost without it"
    assert ours.info["dpi"] == theirs.info["dpi"]
    assert path.stat().st_size < len(expected.getvalue())
    caption = layer_caption(layer)
    assert (ours.info["Title"], ours.info["Description"]) == (caption.title, caption.description)


def test_png_files_are_whole(tmp_path: Path) -> None:
    """Chunk by chunk, as the PNG specification has it (section 5)."""
    data = write_layer(make_layer(heavy_tailed(60, 40)), tmp_path, "png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    kinds, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        body, (check,) = (
            data[at + 4 : at + 8 + length],
            struct.unpack_from(">I", data, at + 8 + length),
        )
        assert zlib.crc32(body) == check
        kinds.append(body[:4])
        at += 12 + length
    assert (kinds[0], kinds[-1]) == (b"IHDR", b"IEND") and b"IDAT" in kinds


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Every figure of oddly named layers as SVG, drawn without a warning."""
    report = odd_report()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        written = write_plots(report, tmp_path_factory.mktemp("svg"), "svg")
    assert len(set(written)) == len(report.layers) + len(MODEL_PLOTS)
    return written


@pytest.fixture(scope="module")
def svgs(files: list[Path]) -> dict[str, ElementTree.Element]:
    return {path.stem: ElementTree.parse(path).getroot() for path in files}


def test_svg_says_what_it_shows(svgs: dict[str, ElementTree.Element]) -> None:
    for root in svgs.values():
        assert root.tag == SVG + "svg" and root.get("role") == "img"
        assert [child.tag for child in root][:2] == [SVG + "title", SVG + "desc"]
        assert len(root.findall(SVG + "title")) == 1 and all(child.text for child in root[:2])
    titles = [root[0].text for root in svgs.values()]
    assert titles[: len(ODD_NAMES)] == [f"Spectrum of {printable(name)}" for name in ODD_NAMES]


def test_svg_text_stays_text_and_names_stay_names(svgs: dict[str, ElementTree.Element]) -> None:
    for name, root in zip(ODD_NAMES, svgs.values()):
        texts = ["".join(text.itertext()) for text in root.iter(SVG + "text")]
        # Its caption has the name.
        assert not name or shorten(printable(name), NAME_WIDTH) not in texts
        assert {"eigenvalue \u03bb of WᵀW", "index i, from the largest"} <= set(texts)
        assert not list(root.iter(SVG + "script"))
        assert not [1 for element in root.iter() for key in element.attrib if key.startswith("on")]


def test_svg_refers_to_nothing_outside(files: list[Path]) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    links = re.findall(r'(?:href="|url\()([^")]*)', text)
    assert links and all(link.startswith("#") for link in links)
    assert "<script" not in text


@pytest.fixture(scope="module")
def pdfs(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The figure of a layer with an odd name, and one of its model."""
    layer, directory = (
        make_layer(heavy_tailed(60, 40), "name_\u00e9(x)"),
        tmp_path_factory.mktemp("pdf"),
    )
    written = [write_layer(layer, directory, "pdf")]
    written.append(write_model(make_report(layer), "q_alpha", directory, "pdf"))
    return [path.read_bytes() for path in written]


def test_pdf_fonts_are_embedded_truetype(pdfs: list[bytes]) -> None:
    for data in pdfs:
        fonts = re.findall(rb"/Subtype /(\w+)\b[^>]*?", data)
        assert b"/FontFile2" in data and b"Type3" not in fonts
        assert b"CreationDate" not in data


def test_pdf_says_what_it_shows(pdfs: list[bytes]) -> None:
    data = pdfs[0]
    assert rb"/Title (Spectrum of name_\\xe9\(x\))" in data
    assert b"/Subject (linear, N x M = 60 x 40," in data


@pytest.mark.parametrize(("fmt", "limit"), [("png", 200_000), ("svg", 120_000), ("pdf", 60_000)])
def test_many_values_do_not_make_large_files(fmt: str, limit: int, tmp_path: Path) -> None:
    assert write_layer(large(), tmp_path, fmt).stat().st_size < limit
    report = make_report(*MODELS["90 layers"]().layers * 3)
    # The one figure that has something for each layer.
    assert write_model(report, "q_alpha", tmp_path, fmt).stat().st_size < limit


def test_a_caption_has_the_whole_name() -> None:
    assert layer_caption(make_layer(np.eye(20), LONG_NAME)).title == f"Spectrum of {LONG_NAME}"
