"""Links between documents lead somewhere, and the site's contents name each of them."""

from __future__ import annotations

import re
import runpy

import pytest

from tests.docs.pages import DOCUMENTS, ROOT


def anchors(text: str) -> set[str]:
    """Return the names that headings of a page get."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", [*DOCUMENTS, "README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_relative_links_resolve(document: str) -> None:
    path = ROOT / document
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.is_file(), f"{document} links to {link}, which is not there"
        assert not anchor or anchor in anchors(target.read_text()), f"{document} links to {link}: no such heading"


def test_the_site_names_each_document_once() -> None:
    settings = runpy.run_path(str(ROOT / "docs/conf.py"))
    named = [f"docs/{page}.md" for pages in settings["CONTENTS"].values() for page in pages]
    assert sorted([*named, "docs/index.md"]) == DOCUMENTS


def test_documents_of_the_site_link_to_nothing_outside_of_it() -> None:
    for document in DOCUMENTS:
        depth = document.count("/") - 1
        for link in re.findall(r"\]\(((?:\.\./)+)", (ROOT / document).read_text()):
            assert link.count("../") <= depth, document
