"""Elements of HTML and SVG, whose text cannot become markup."""

from xml.etree import ElementTree

Element = ElementTree.Element
Child = Element | str | None


def tag(kind: str, /, *children: Child, **attributes: str | float | None) -> Element:
    """Make an element.

    Args:
        attributes: ``class_`` stands for ``class``, ``aria_label`` for ``aria-label``; empty ones
            are left out.
    """
    given = {
        key.rstrip("_").replace("_", "-"): value if isinstance(value, str) else number(value)
        for key, value in attributes.items()
        if value not in (None, "") and value is not None
    }
    made = Element(kind, given)
    last: Element | None = None
    for child in children:
        if isinstance(child, Element):
            made.append(child)
            last = child
        elif child and last is None:
            made.text = (made.text or "") + child
        elif child and last is not None:
            last.tail = (last.tail or "") + child
    return made


def written(element: Element) -> str:
    return ElementTree.tostring(element, "unicode", method="html")


def number(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"
