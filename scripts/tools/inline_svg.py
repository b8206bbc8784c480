"""A figure as SVG within an HTML page: in the page's colours, and apart from other figures."""

import re
from io import BytesIO
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from allennlp_analyze.reports.figures.file import Caption, drawn_figure
from allennlp_analyze.reports.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    LIGHT_GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    WHITE,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
# The colours of figures by the names that page.css has for them in light and in dark.
PAGE_COLOURS = {
    BLUE: "--blue",
    ORANGE: "--orange",
    GREEN: "--green",
    VERMILLION: "--red",
    PURPLE: "--purple",
    SKY: "--sky",
    GREY: "--soft",
    LIGHT_GREY: "--grey",
    BLACK: "--text",
    WHITE: "--back",
}
CLASS = "drawn"
_COLOURS = {colour.lower(): f"var({name})" for colour, name in PAGE_COLOURS.items()}
_HEX = re.compile(r"#[0-9a-fA-F]{6}\b")
_REFERENCE = re.compile(r"url\(#([^)]*)\)")


def inline_svg(figure: "Figure", caption: Caption, name: str) -> str:
    """`figure` as an svg element of the class "drawn", as wide as there is room.

    `name` is the figure's on the page: its ids begin with it. The text stays text; `caption` is
    what a screen reader says.
    """
    file = BytesIO()
    drawn_figure(figure, "svg", caption)(file)
    root = ElementTree.fromstring(file.getvalue())
    _drop(root, "metadata")
    # It would be a style of the whole page, which says the same of this class.
    _drop(root, "style")
    for element in root.iter():
        _rename(element, name)
        for key in ("style", "fill", "stroke"):
            if key in element.attrib:
                element.set(key, _HEX.sub(_in_page_colours, element.attrib[key]))
    for key in ("width", "height"):
        del root.attrib[key]
    root.set("class", CLASS)
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    return ElementTree.tostring(root, encoding="unicode")


def _drop(root: ElementTree.Element, tag: str) -> None:
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{{{SVG}}}{tag}":
                parent.remove(child)


def _rename(element: ElementTree.Element, name: str) -> None:
    """Put `name` before the ids, and before what refers to them."""
    for key, value in element.attrib.items():
        if key == "id":
            element.set(key, f"{name}-{value}")
        elif key.endswith("href") and value.startswith("#"):
            element.set(key, f"#{name}-{value[1:]}")
        elif "url(#" in value:
            element.set(key, _REFERENCE.sub(rf"url(#{name}-\1)", value))


def _in_page_colours(found: "re.Match[str]") -> str:
    return _COLOURS.get(found.group().lower(), found.group())
