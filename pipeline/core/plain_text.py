"""Foreign text on its way to a person: headers, ids, names of files, cells, manifests."""

from __future__ import annotations


def printable(text: str, kept: str = "") -> str:
    """Return text without what a terminal would obey or a reader could not see.

    Control characters, marks that turn the direction of writing, foreign line ends and the like are
    shown as escapes, such as \\x1b.

    Args:
        text: of whatever origin.
        kept: characters that are meant, such as ends of lines.
    """
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() or mark in kept else _escape(mark) for mark in text)


def _escape(mark: str) -> str:
    return mark.encode("unicode_escape").decode("ascii")
