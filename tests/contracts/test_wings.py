"""The wings of the house: which may import which, and that nothing goes round in a circle."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Modules at the root of core/ that stand on wings of it; all others there stand on nothing but each other.
OPTIONS = {"forecast_spec", "spec_limits", "elements", "ndjson"}
BLOCKS = {"blocks", "block_bytes"}
TOP_OF_CORE = {"process_request", "process_ranges", "file_ranges", "compile_kernels", "findings"}
# Modules at the root of pipeline/ on which its wings stand; the others there stand on the wings.
BASE = {"coders", "options", "runs", "destination", "metrics", "terminal", "logs", "kafka_topic"}
MODEL = {f"core.model{part}" for part in ("", ".data", ".design", ".solve", ".intervals", ".exchange")}
# A wing may import itself and what is listed. Outside of core/ a wing may import all of it.
ALLOWED = {
    "core": set(),
    "core.dates": {"core"},
    "core.options": {"core", "core.dates"},
    "core.faults": {"core", "core.options"},
    "core.requests": {"core", "core.options", "core.faults"},
    "core.csv_reading": {"core", "core.options", "core.dates", "core.faults"},
    "core.parquet_reading": {"core", "core.options", "core.dates", "core.faults", "core.csv_reading"},
    "core.series": {"core", "core.options", "core.dates", "core.faults", "core.csv_reading", "core.parquet_reading"},
    "core.table_reading": {"core"},
    "core.local_inputs": {"core", "core.options", "core.requests", "core.parquet_reading"},
    "core.blocks": {"core", "core.options", "core.series"},
    "core.model.data": {"core", "core.dates"},
    "core.model.solve": {"core"},
    "core.model.design": {"core", "core.options", "core.dates", "core.model.data"},
    "core.model": {
        "core", "core.options", "core.dates", "core.faults", "core.model.data", "core.model.design", "core.model.solve",
    },
    "core.model.intervals": {"core", "core.dates", "core.model", "core.model.design", "core.model.solve"},
    "core.model.exchange": {"core", "core.options", "core.dates", "core.faults", "core.model", "core.model.design",
                            "core.model.solve"},
    "core.members": {"core", "core.options", "core.dates", "core.model.data", "core.model", "core.model.solve"},
    "core.engines": {
        "core", "core.options", "core.dates", "core.faults", "core.series", "core.blocks", "core.members", *MODEL,
    },
    "core.outputs": {
        "core", "core.options", "core.dates", "core.requests", "core.csv_reading", "core.series", "core.blocks",
        "core.engines",
    },
    "core.top": {
        "core", "core.options", "core.dates", "core.faults", "core.csv_reading", "core.series", "core.blocks",
        "core.engines", "core.members", "core.outputs", *MODEL,
    },
    "library": {"core"},
    "report": {"core"},
    "base": {"core"},
    "folder": {"core", "base"},
    "cloud": {"core", "base"},
    "places": {"core", "base", "folder", "cloud"},
    "service": {"core", "base", "folder", "cloud", "places", "report"},
    "templates": set(),
    "intake": {"core", "base", "cloud"},
    "transforms": {"core", "base", "folder", "cloud", "places", "intake"},
    "front": {"core", "base", "folder", "cloud", "places", "intake", "transforms"},
    "commands": {"core", "base", "folder", "cloud", "places", "transforms", "front", "report", "service"},
}  # fmt: skip


def modules() -> dict[str, Path]:
    """Return the package's modules by name."""
    found = {}
    for path in (ROOT / "pipeline").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Return the modules of the package that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pipeline"):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in known else str(node.module))
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in known}
    return found


def _wing_of_model(parts: list[str]) -> str:
    if parts and (ROOT / "pipeline/core/model" / parts[0]).is_dir():
        return f"core.model.{parts[0]}"
    return "core.model.data" if parts[:1] == ["histories"] else "core.model"


def wing(module: str) -> str:
    """Return the wing that a module is in."""
    parts = module.split(".")[1:]
    if not parts:
        return "core"  # the package itself, which is empty
    if parts[0] != "core":
        if (ROOT / "pipeline" / parts[0]).is_dir():
            return parts[0]
        return "base" if parts[0] in BASE else "places" if parts[0] == "places" else "front"
    if len(parts) > 1 and (ROOT / "pipeline" / "core" / parts[1]).is_dir():
        if parts[1] == "model":
            return _wing_of_model(parts[2:])
        return f"core.{parts[1]}"
    name = parts[1] if len(parts) > 1 else ""
    if name in BLOCKS:
        return "core.blocks"
    return "core.options" if name in OPTIONS else "core.top" if name in TOP_OF_CORE else "core"


KNOWN = modules()


@pytest.mark.parametrize("module", sorted(KNOWN))
def test_a_wing_imports_only_what_it_may(module: str) -> None:
    own = wing(module)
    for other in imports(KNOWN[module], KNOWN) - {module}:
        to = wing(other)
        inner = to.startswith("core.") and not own.startswith("core")
        assert to == own or to in ALLOWED[own] or (inner and "core" in ALLOWED[own]), f"{module} imports {other}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    edges = {module: imports(path, KNOWN) - {module} for module, path in KNOWN.items()}
    left = dict(edges)
    while leaves := [module for module, others in left.items() if not others & left.keys()]:
        for module in leaves:
            del left[module]
    assert not left, f"in a circle, or on the way to one: {sorted(left)}"


def test_there_is_something_to_check() -> None:
    assert len(KNOWN) > 100
    assert {wing(module) for module in KNOWN} <= ALLOWED.keys()
    assert imports(KNOWN["pipeline.core.process_request"], KNOWN)
