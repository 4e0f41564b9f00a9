"""How Sphinx builds the site of these pages: `make docs` writes it into site/."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "Dropcast"
html_title = "Dropcast"
extensions = ["myst_parser"]
exclude_patterns = ["cookbook/data.py"]
myst_heading_anchors = 4
html_theme = "furo"
html_show_sphinx = html_show_copyright = html_show_sourcelink = html_copy_source = False
nitpicky = True
smartquotes = False  # or else --option gets a dash of another kind

# The contents of the site: sections, and their pages with the names that they have in the contents.
CONTENTS = {
    "Cookbook": {
        "cookbook/sales-by-store": "Sales by store",
        "cookbook/hourly-energy": "Hourly energy",
        "cookbook/monthly-accounts": "Monthly accounts",
        "cookbook/counts-with-zeros": "Counts with many zeros",
    },
    "Use": {
        "csv": "What a CSV may look like",
        "bigquery-input": "Tables and queries of BigQuery",
        "options": "Options",
        "commands": "Commands",
        "looking": "Looking at forecasts",
        "tables": "Tables and views",
        "watch": "Watching a folder",
        "library": "In Python",
        "error-codes": "Error codes",
    },
    "Migrating": {
        "migrating/from-a-prophet-script": "From a Prophet script",
        "migrating/from-the-prophet-service": "From a service around Prophet",
        "migrating/from-bigquery": "From BigQuery's forecasting",
    },
    "In the cloud": {
        "service": "The service: forecasts over HTTP",
        "flink": "On Flink",
        "buckets": "Buckets, Pub/Sub and BigQuery",
        "delivery": "Delivery guarantees",
        "google-cloud": "On Google Cloud",
        "run-book": "Run book",
        "first-run": "What is not proven yet",
        "cost": "Cost",
        "security": "Security",
        "airflow": "Backfills with Airflow",
    },
    "How it works": {
        "how-it-works": "The pipeline",
        "models": "Models: prophet and auto",
        "prophet": "Prophet's options",
        "engine": "The native engine",
        "performance": "Performance",
    },
}


def contents() -> str:
    """Return the contents as Sphinx' directives; the pages themselves are to be readable without them."""
    sections = []
    for section, pages in CONTENTS.items():
        entries = "\n".join(f"{title} <{page}>" for page, title in pages.items())
        sections.append(f"```{{toctree}}\n:hidden:\n:caption: {section}\n\n{entries}\n```\n")
    return "\n".join(sections)


def add_contents(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the contents at the end of the first page."""
    if page == "index":
        source[0] += f"\n\n{contents()}"


def setup(app: Sphinx) -> None:
    """Register what is done while the site is built."""
    app.connect("source-read", add_contents)
