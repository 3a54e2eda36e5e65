"""HTML that is escaped by construction: only `Markup` passes as it is."""

from __future__ import annotations

import re
from html import escape

from edgebench.reports.words import printable

_VOID = frozenset({"meta", "col", "br"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """Return the element `name` around its children; whatever is not Markup is escaped.

    An attribute's trailing underscore is dropped and other underscores become hyphens: `class_`,
    `aria_label`. Attributes that are None are left out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(printable(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{joined(*children)}</{name}>")


def broken(name: str) -> Markup:
    """Return a long name that may break after its dots, hyphens and underscores."""
    parts = re.split(r"(?<=[._/-])", name)
    return Markup("<wbr>".join(joined(part) for part in parts if part))


def scroll(content: Markup, label: str = "table") -> Markup:
    """Return a table or figure that scrolls sideways by itself where the window is narrow."""
    return tag("div", content, class_="scroll", tabindex="0", role="group", aria_label=label)


def joined(*children: object) -> Markup:
    """Return the children as HTML, one after the other; None is nothing."""
    return Markup(
        "".join(
            child if isinstance(child, Markup) else escape(printable(child))
            for child in children
            if child is not None
        )
    )
