"""A drawing: shapes and text, written as SVG, with a background of its own and usual fonts."""

from xml.etree import ElementTree

SANS = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
MONO = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"

PAPER, FRAME, INK, FAINT = "#fbfaf7", "#ddd8cc", "#24292f", "#76746c"
HUES = {"head": "#2458a8", "middle": "#7a3f98", "tail": "#1e7a52", "spare": "#8a6d1b"}
TINTS = {"head": "#e5edf9", "middle": "#f3e8f8", "tail": "#e2f3ea", "spare": "#f7f0d9"}
PROTOCOL, MEMBERSHIP, COPYING = "#3a3f47", "#b4530a", "#0f6f80"
"""Of messages of the chain proper, about configurations, and of catching up."""


class Drawing:
    """Shapes on a sheet of paper. All lengths are pixels."""

    def __init__(self, width: float, height: float, title: str) -> None:
        """An empty sheet.

        Args:
            title: what it shows, for who cannot see it.
        """
        self._root = ElementTree.Element(
            "svg",
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {number(width)} {number(height)}",
            width=number(width),
            height=number(height),
            role="img",
        )
        self._root.set("font-family", SANS)
        ElementTree.SubElement(self._root, "title").text = title
        self.box(0.5, 0.5, width - 1, height - 1, fill=PAPER, stroke=FRAME, radius=10)

    def _add(self, tag: str, **attributes: str | float) -> ElementTree.Element:
        written = {
            name.replace("_", "-"): value if isinstance(value, str) else number(value)
            for name, value in attributes.items()
            if value != ""
        }
        return ElementTree.SubElement(self._root, tag, written)

    def box(
        self, x: float, y: float, width: float, height: float, *,
        fill: str = "none", stroke: str = "none", radius: float = 5, dash: str = "",
        thick: float = 1,
    ) -> None:  # fmt: skip
        """A rectangle with round corners."""
        self._add(
            "rect", x=x, y=y, width=width, height=height, rx=radius,
            fill=fill, stroke=stroke, stroke_width=thick, stroke_dasharray=dash,
        )  # fmt: skip

    def line(
        self, x1: float, y1: float, x2: float, y2: float, *,
        stroke: str = INK, thick: float = 1, dash: str = "",
    ) -> None:  # fmt: skip
        """A straight line."""
        self._add(
            "line", x1=x1, y1=y1, x2=x2, y2=y2,
            stroke=stroke, stroke_width=thick, stroke_dasharray=dash,
        )  # fmt: skip

    def arrow(
        self, x1: float, y1: float, x2: float, y2: float, *,
        stroke: str = INK, thick: float = 1.3, dash: str = "",
    ) -> None:  # fmt: skip
        """A line with a head at its second end."""
        self.line(x1, y1, x2, y2, stroke=stroke, thick=thick, dash=dash)
        length = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
        ux, uy = (x2 - x1) / length, (y2 - y1) / length
        left = (x2 - 8 * ux - 4 * uy, y2 - 8 * uy + 4 * ux)
        right = (x2 - 8 * ux + 4 * uy, y2 - 8 * uy - 4 * ux)
        points = " ".join(f"{number(x)},{number(y)}" for x, y in ((x2, y2), left, right))
        self._add("polygon", points=points, fill=stroke)

    def path(self, d: str, *, stroke: str = "none", fill: str = "none", thick: float = 1) -> None:
        self._add("path", d=d, stroke=stroke, fill=fill, stroke_width=thick)

    def disc(self, x: float, y: float, radius: float, *, fill: str) -> None:
        self._add("circle", cx=x, cy=y, r=radius, fill=fill)

    def text(
        self, x: float, y: float, said: str, *, size: float = 12, fill: str = INK,
        anchor: str = "start", bold: bool = False, italic: bool = False, mono: bool = False,
        halo: bool = False,
    ) -> None:  # fmt: skip
        """A line of text, whose base line is ``y``; ``halo``: what is below it does not show."""
        element = self._add(
            "text", x=x, y=y, font_size=size, fill=fill,
            text_anchor="" if anchor == "start" else anchor,
            font_weight="bold" if bold else "",
            font_style="italic" if italic else "",
            font_family=MONO if mono else "",
        )  # fmt: skip
        if halo:
            element.set("stroke", PAPER)
            element.set("stroke-width", "4")
            element.set("stroke-linejoin", "round")
            element.set("paint-order", "stroke")
        element.text = said

    def disk(self, x: float, y: float, *, stroke: str) -> None:
        """The symbol of a disk, with its middle here."""
        self.path(
            f"M{number(x - 11)} {number(y - 7)}v14a11 4 0 0 0 22 0v-14"
            f"a11 4 0 0 0 -22 0a11 4 0 0 0 22 0",
            stroke=stroke,
            fill="#ffffff",
            thick=1.3,
        )

    def written(self) -> str:
        ElementTree.indent(self._root, " ")
        return ElementTree.tostring(self._root, "unicode") + "\n"


def number(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
