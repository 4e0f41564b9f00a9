"""Untrusted text that is shown to a person: headers, ids, file names, cells, manifests."""

from __future__ import annotations


def printable(text: str, kept: str = "") -> str:
    """Return text without characters that a terminal would obey or a reader could not see.

    Control characters, marks that change the writing direction, unusual line ends and the like are
    shown as escapes, such as \\x1b.

    Args:
        text: from any source.
        kept: characters to keep, such as line ends.
    """
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() or mark in kept else _escape(mark) for mark in text)


def _escape(mark: str) -> str:
    return mark.encode("unicode_escape").decode("ascii")
