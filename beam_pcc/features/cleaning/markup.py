"""HTML to lines of text: no styles, scripts, hidden parts, images or targets of links; quotations begin with `>`."""

from __future__ import annotations

import re

_ELEMENTS = "a abbr acronym address area article aside audio b base basefont bdi bdo big blockquote body br button canvas caption center cite code col colgroup data datalist dd del details dfn dialog dir div dl dt em embed fieldset figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe img input ins kbd label legend li link main map mark menu meta meter nav noframes noscript object ol optgroup option output p param picture pre progress q rp rt ruby s samp script section select small source span strike strong style sub summary sup svg table tbody td template textarea tfoot th thead time title tr track tt u ul var video wbr xml".split()
_NAME = rf"(?:{'|'.join(_ELEMENTS)}|[a-z][a-z0-9]{{0,9}}:[a-z]\w{{0,40}})"
_ATTRIBUTES = (
    r"(?:\s[^<>]*=[^<>]*|\s+(?:nowrap|noshade|hidden|disabled|checked|selected|clear))?\s*/?"  # not "<i want it>"
)
_MARKUP = re.compile(rf"</?{_NAME}{_ATTRIBUTES}>|<!doctype|<!--", re.IGNORECASE)
_NO_TAG = re.compile(rf"<(?!/?{_NAME}{_ATTRIBUTES}>|!doctype|!\[|\?xml)", re.IGNORECASE)
_ESCAPED = re.compile(r"&lt;/?(?:p|div|br|html|body|span|table)(?:\s[^&]{0,200})?/?&gt;", re.IGNORECASE)

_SKIPPED = frozenset(
    {"style", "script", "head", "title", "xml", "template", "noframes", "svg", "object", "select", "datalist"}
)
_LINES = frozenset(
    [
        "address",
        "article",
        "aside",
        "br",
        "center",
        "dd",
        "div",
        "dl",
        "dt",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "li",
        "main",
        "nav",
        "option",
        "section",
        "tr",
        "caption",
        "fieldset",
        "legend",
        "tbody",
        "thead",
        "tfoot",
    ]
)
_PARAGRAPHS = frozenset(["p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "pre", "hr", "blockquote"])
_HIDDEN = re.compile(
    r"display\s*:\s*none|mso-hide\s*:\s*all|font-size\s*:\s*0(?![.\d]*[1-9])|visibility\s*:\s*hidden|max-height\s*:\s*0(?![.\d]*[1-9])|opacity\s*:\s*0(?![.\d]*[1-9])",
    re.IGNORECASE,
)
_BLANK = " |\t\n\u00a0"
_MAX_TAGS = 10_000  # a parser's time grows with depth times elements

_NOT_SHOWN = (
    (re.compile(r"<(?:style|STYLE|Style)\b"), re.compile(r"</(?:style|STYLE|Style)\s*>")),
    (re.compile(r"<(?:script|SCRIPT|Script)\b"), re.compile(r"</(?:script|SCRIPT|Script)\s*>")),
)
_COMMENT = re.compile("<!--"), re.compile("-->")
_TAG = re.compile(rf"</?({_NAME}){_ATTRIBUTES}>", re.IGNORECASE)


def is_html(text: str) -> bool:
    """Whether a text has an element of HTML."""
    return "<" in text and _MARKUP.search(text) is not None


def is_escaped_html(text: str) -> bool:
    """Whether the markup of a text was written with entities."""
    return "&lt;" in text and _ESCAPED.search(text) is not None


def without_styles(text: str) -> str:
    """The text without style sheets, scripts and comments, which may be most of it."""
    if "<!--" in text:
        text = _without_between(text, *_COMMENT)
    for opening, closing in _NOT_SHOWN:
        text = _without_between(text, opening, closing)
    return text


def to_text(text: str) -> str:
    """The visible text, a line for each block."""
    text = _NO_TAG.sub("&lt;", text)
    if text.count("<") > _MAX_TAGS:
        return _without_parser(text)
    from selectolax.lexbor import LexborHTMLParser

    body = LexborHTMLParser(text).body
    lines: list[str] = []
    parts: list[str] = []
    depth = 0

    def end_line(*, paragraph: bool = False) -> None:
        prefix = "> " * depth
        if parts:
            line = " ".join("".join(parts).split())
            parts.clear()
            if line:
                lines.append(prefix + line)
        if paragraph and lines and lines[-1] != prefix:
            lines.append(prefix)

    hides = "style=" in text or "STYLE=" in text or "hidden" in text
    preformatted = 0
    level = 0
    node = body
    while node is not None:
        tag = node.tag
        entered = False
        if tag == "-text":
            if preformatted:
                *whole, last = (node.text_content or "").split("\n")
                for line in whole:
                    parts.append(line)
                    end_line()
                parts.append(last)
            else:
                parts.append(node.text_content or "")
        elif tag in _SKIPPED or (hides and _is_hidden(node)):
            pass
        else:
            if tag in _PARAGRAPHS:
                end_line(paragraph=True)
            elif tag in _LINES:
                end_line()
            elif tag in ("td", "th"):
                parts.append(" | " if any(part.strip(_BLANK) for part in parts) else " ")
            if tag == "blockquote":
                depth += 1
            elif tag == "pre":
                preformatted += 1
            entered = True
        child = node.child if entered else None
        if child is not None:
            node = child
            level += 1
            continue
        while node is not None:
            if entered:
                tag = node.tag
                if tag in _PARAGRAPHS:
                    end_line(paragraph=True)
                    if tag == "blockquote":
                        depth -= 1
                    elif tag == "pre":
                        preformatted -= 1
                elif tag in _LINES and tag != "br":
                    end_line()
            if level == 0:
                node = None
                break
            following = node.next
            if following is not None:
                node = following
                break
            node = node.parent
            level -= 1
            entered = True
    end_line()
    return "\n".join(lines)


def _is_hidden(node: object) -> bool:
    attributes = node.attributes  # type: ignore[attr-defined]
    style = attributes.get("style")
    return "hidden" in attributes or (style is not None and _HIDDEN.search(style) is not None)


def _without_parser(text: str) -> str:
    """The text without tags, for markup that is too deep for a parser."""
    return _TAG.sub(lambda tag: "\n" if tag[1].lower() in _LINES | _PARAGRAPHS else " ", text)


def _without_between(text: str, opening: re.Pattern[str], closing: re.Pattern[str]) -> str:
    """The text without what is between two patterns; an opening without a closing hides nothing."""
    parts: list[str] = []
    position = 0
    while (start := opening.search(text, position)) and (end := closing.search(text, start.end())):
        parts.append(text[position : start.start()])
        position = end.end()
    return "".join([*parts, text[position:]])
