"""HTML as a tree: what goes in as text or attribute comes out escaped, so that no text can become markup; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, tostring

from projctl.diagnostics import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    #: What stands in an element: also several of these, one after the other.
    Child: TypeAlias = "Element | str | Iterable[Child] | None"

#: The page may load nothing and run nothing, whatever stood in it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
#: What HTML does not escape inside of, or what would act.
_FORBIDDEN = frozenset({"script", "style", "iframe", "object", "embed", "base", "link", "meta"})


def tag(name: str, /, *children: Child, **attributes: object) -> Element:
    """An element; of attributes `_` is written `-`, `class_` is `class`, None leaves one out."""
    if name in _FORBIDDEN:
        raise ValueError(name)
    return _element(name, *children, **attributes)


def _element(name: str, /, *children: Child, **attributes: object) -> Element:
    element = Element(name)
    for key, value in attributes.items():
        if value is not None:
            element.set(key.rstrip("_").replace("_", "-"), one_line(_number(value)))
    for child in children:
        _add(element, child)
    return element


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _add(parent: Element, child: Child) -> None:
    if child is None:
        return
    if isinstance(child, Element):
        parent.append(child)
    elif isinstance(child, str):
        _add_text(parent, one_line(child))
    else:
        for one in child:
            _add(parent, one)


def _add_text(parent: Element, text: str) -> None:
    """ElementTree keeps text that follows an element with that element."""
    if len(parent):
        parent[-1].tail = (parent[-1].tail or "") + text
    else:
        parent.text = (parent.text or "") + text


def page(title: str, style: str, *body: Child) -> str:
    """A whole document that needs nothing but itself; `style` is ours, never a reader's or a project's."""
    head = _element(
        "head",
        _element("meta", charset="utf-8"),
        _element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        _element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        _element("meta", name="color-scheme", content="light dark"),
        _element("title", title),
    )
    sheet = Element("style")
    sheet.text = style
    head.append(sheet)
    root = _element("html", head, _element("body", *body), lang="en")
    return f"<!doctype html>\n{tostring(root, encoding='unicode', method='html')}\n"
