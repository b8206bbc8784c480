"""The colours of the figures are told apart with every common colour vision."""

from itertools import combinations

import numpy as np
import pytest

from allennlp_analyze.reports.figures import style
from allennlp_analyze.reports.figures.layers import ALPHA_LINES

pytestmark = pytest.mark.newest_python
# Machado, Oliveira & Fernandes (2009), "A physiologically-based model for simulation of color
# vision deficiency", table 1, severity 1.0: what linear RGB becomes.
VISIONS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
# IEC 61966-2-1: linear RGB to XYZ; its white is D65.
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
# What is seen together: areas by their colour alone, lines and marks by their shape too.
AREAS = {
    "verdicts": list(style.VERDICT_COLOURS.values()),
    "groups of a zoo": [colour for _, colour in style.GROUP_LOOKS],
    "tolerances of the rank loss": [style.TOLERANCE_STYLES[t][0] for t in ("numpy", "rounding")],
}
SHAPES = {
    "kinds": [(colour, marker) for marker, colour in style.KIND_MARKERS.values()],
    "density": [
        (style.GREEN, "-"),
        (style.GREEN, ":"),
        (style.VERMILLION, "--"),
        (style.ORANGE, "-."),
    ],
    "limits": [*style.TOLERANCE_STYLES.values(), (style.BLACK, "-"), (style.GREEN, ":")],
    "groups of a zoo": [*((c, mark) for mark, c in style.GROUP_LOOKS), (style.GREY, "X")],
    "alpha and Q": [*ALPHA_LINES.values(), (style.PURPLE, "-.")],
}


def linear(colour: str) -> np.ndarray:
    """Linear RGB (IEC 61966-2-1) of "#rrggbb"."""
    value = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE 1976 L*a*b* of linear RGB."""
    ratio = TO_XYZ @ np.clip(rgb, 0, 1) / TO_XYZ.sum(axis=1)
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def difference(colour: str, other: str, vision: str) -> float:
    """CIE 1976 colour difference, of which 2.3 is just noticeable side by side."""
    seen = [lab(VISIONS[vision] @ linear(c)) for c in (colour, other)]
    return float(np.linalg.norm(seen[0] - seen[1]))


def test_the_measure_knows_what_cannot_be_told_apart() -> None:
    """Red and green of the same lightness, and what CIE gives for white against black."""
    assert difference("#FFFFFF", "#000000", "normal") == pytest.approx(100, abs=0.01)
    assert difference("#AD5C00", "#6D7F10", "normal") > 40
    assert difference("#AD5C00", "#6D7F10", "deuteranopia") < 15
    for vision, matrix in VISIONS.items():
        np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5, err_msg=f"{vision}: white")


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("figure", AREAS)
def test_areas_are_told_apart_by_colour_alone(figure: str, vision: str) -> None:
    for colour, other in combinations(AREAS[figure], 2):
        assert difference(colour, other, vision) > 15, (colour, other)


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("figure", SHAPES)
def test_lines_and_marks_differ_in_shape_and_where_they_can_in_colour(
    figure: str, vision: str
) -> None:
    shapes = [shape for _, shape in SHAPES[figure]]
    assert len(set(shapes)) == len(shapes)
    for (colour, _), (other, _) in combinations(SHAPES[figure], 2):
        assert colour == other or difference(colour, other, vision) > 10, (colour, other)


@pytest.mark.parametrize("colour", [*style.VERDICT_COLOURS.values(), style.GREEN, style.GREY])
def test_colours_stand_out_from_white(colour: str) -> None:
    """Luminance contrast as WCAG 2 defines it; its 3:1 for all but Okabe and Ito's light ones."""
    contrast = 1.05 / (TO_XYZ[1] @ linear(colour) + 0.05)
    assert contrast > (2.2 if colour in (style.ORANGE, style.SKY) else 3)
