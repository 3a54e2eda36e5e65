"""Reading a report's HTML as a browser's parser would: elements, attributes, text, tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "wbr", "br", "col"}


@dataclass
class Element:
    """One element with its attributes and everything inside it, in order."""

    tag: str
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list)

    def all(self, tag: str) -> list[Element]:
        """Return the elements called `tag` inside this one, in order."""
        inside = [child for child in self.children if isinstance(child, Element)]
        return [e for child in inside for e in ([child] if child.tag == tag else []) + child.all(tag)]

    def every(self) -> list[Element]:
        """Return this element and all inside it."""
        inside = [child for child in self.children if isinstance(child, Element)]
        return [self, *(e for child in inside for e in child.every())]

    @property
    def text(self) -> str:
        """Return the text inside, with spaces around cells and blocks."""
        blocks = {"td", "th", "p", "small", "li", "dt", "dd", "h1", "h2", "h3", "tr"}
        parts = [
            child if isinstance(child, str) else f" {child.text} " if child.tag in blocks else child.text
            for child in self.children
        ]
        return "".join(parts)


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("document", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        opened = self._open.pop()
        assert opened.tag == tag, f"</{tag}> closes <{opened.tag}>"

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)

    def close(self) -> None:
        super().close()
        assert self._open == [self.root], f"left open: {[e.tag for e in self._open]}"


def read_page(html: str) -> Element:
    """Return a page as a tree. Fails where elements are not closed in order or an attribute is doubled."""
    parser = _Parser()
    parser.feed(html)
    parser.close()
    return parser.root


def section(page: Element, title: str) -> Element:
    """Return the section whose heading is `title`."""
    return next(s for s in page.all("section") if [h.text for h in s.all("h2")] == [title])


def rows(element: Element) -> list[str]:
    """Return the text of each table row inside, spaces run together."""
    return [" ".join(row.text.split()) for row in element.all("tr")]
