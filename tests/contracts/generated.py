"""Files that are generated from the code: `make generated` rewrites them, and a test says if one is out of date."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import re
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2

from benchmarks.cost_model import tables as cost_tables
from pipeline import graph
from pipeline.cli import COMMANDS, HELP
from pipeline.coders import CODERS
from pipeline.core.errors import CODES
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.outputs.outcomes import Outcome
from pipeline.core.outputs.tables import TABLES, table_fields
from pipeline.core.range_sizes import RANGE_BYTES
from pipeline.core.requests.local_files import InputFile, Manifest
from pipeline.destination import Destination
from pipeline.flex_template import metadata
from pipeline.options import GROUPS, RunOptions, add_model_arguments
from pipeline.runs import BucketRun, FolderRun, Run

ROOT = Path(__file__).parents[2]


def manifest_schema() -> str:
    """Return the JSON Schema of a manifest."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Manifest.model_json_schema()}
    return json.dumps(schema, indent=2) + "\n"


def graph_snapshot() -> str:
    """Return the names, state ids and coders on which an update of a running job depends."""
    batch = FolderRun(
        (InputFile("/in/x.csv", "x.csv"),), Path("/out"), ForecastSpec(), Limits(), (), range_bytes=RANGE_BYTES
    )
    streaming = BucketRun(
        Destination("gs://out/forecasts", "project.dataset", batch=False),
        ForecastSpec(),
        Limits(),
        subscription="projects/project/subscriptions/uploads",
        output_topic="projects/project/topics/receipts",
        range_bytes=RANGE_BYTES,
    )
    pulling = dataclasses.replace(streaming, pulls=True)
    snapshot = {"batch": _snapshot(batch), "streaming": _snapshot(streaming), "pulling": _snapshot(pulling)}
    assert len(snapshot["batch"]["coders"]) == len(CODERS), "an element travels without its own coder"
    # a coder writes an element's fields in their order
    classes = {element: [f.name for f in dataclasses.fields(element)] for element in CODERS}
    for outcome in Outcome.__subclasses__():
        classes[Outcome] += [f"{outcome.__name__}.{field.name}" for field in dataclasses.fields(outcome)]
    fields = {coder.__name__: classes[element] for element, coder in CODERS.items()}
    return json.dumps({**snapshot, "fields": dict(sorted(fields.items()))}, indent=2) + "\n"


def _snapshot(run: Run) -> dict[str, Any]:
    pipeline = beam.Pipeline(options=PipelineOptions(streaming=not run.destination.batch))
    graph.build(pipeline, run)
    proto = pipeline.to_runner_api()
    transforms = proto.components.transforms.values()
    return {
        "steps": sorted(t.unique_name for t in transforms if t.unique_name and not t.subtransforms),
        "state": dict(sorted((t.unique_name, _state_ids(t)) for t in transforms if _state_ids(t))),
        "coders": sorted({_coder(c) for c in proto.components.coders.values() if _coder(c)}),
    }


def _state_ids(transform: beam_runner_api_pb2.PTransform) -> list[str]:
    if transform.spec.urn != "beam:transform:pardo:v1":
        return []
    payload = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload)
    return sorted(payload.state_specs)


def _coder(coder: beam_runner_api_pb2.Coder) -> str:
    """Return the name of one of our coders, which stands before its pickled form."""
    found = re.search(rb"([A-Za-z]+Coder)\$", coder.spec.payload)
    name = found[1].decode() if found else ""
    # the length before the name may look like a letter of it
    return next((ours.__name__ for ours in CODERS.values() if name.endswith(ours.__name__)), "")


def options_reference() -> str:
    """Return the table of options for docs/options.md."""
    lines = ["| option | meaning | default |", "| --- | --- | --- |"]
    for model in (RunOptions, ForecastSpec, Limits):
        for name, field in model.model_fields.items():
            default = "" if field.default in (None, ()) else json.dumps(field.default)
            lines.append(f"| `--{name}` | {_cell(field.description or '')} | {f'`{default}`' if default else ''} |")
    return "\n".join(lines)


def error_reference() -> str:
    """Return the table of codes for docs/error-codes.md."""
    lines = ["| code | meaning | may succeed later as it is |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {code.meaning} | {'yes' if code.replayable else ''} |" for name, code in CODES.items()]
    return "\n".join(lines)


def table_reference() -> str:
    """Return the tables' columns for docs/tables.md."""
    parts = []
    for table in TABLES:
        rows = [f"| `{f['name']}` | {f['type']} | {_cell(f['description'])} |" for f in table_fields(table)]
        parts.append("\n".join([f"### {table}", "", "| column | type | meaning |", "| --- | --- | --- |", *rows]))
    return "\n\n".join(parts)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def command_reference() -> str:
    """Return what each command's --help says, for docs/commands.md."""
    width = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"  # argparse wraps help to it
    try:
        parts = [f"```text\n{HELP}```"]
        for command in COMMANDS:
            parser = importlib.import_module(f"pipeline.commands.{command}").parser()
            groups = parser._action_groups
            parser._action_groups = [group for group in groups if group.title not in GROUPS.values()]
            part = f"## {command}\n\n```text\n{parser.format_help()}```"
            shared = ", ".join(str(group.title) for group in groups if group.title in GROUPS.values())
            if shared:
                part += f"\n\nIt also has the [options below](#options-of-a-forecast): {shared}."
            parts.append(part)
        parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, add_help=False)
        for model in (ForecastSpec, Limits):
            add_model_arguments(parser, model)
        parts.append(f"## Options of a forecast\n\n```text\n{parser.format_help().strip()}\n```")
    finally:
        os.environ.pop("COLUMNS") if width is None else os.environ.update(COLUMNS=width)
    return "\n\n".join(parts)


def _cell(text: str) -> str:
    """Return text for a cell of a table: what Markdown would take for a mark of its own is escaped."""
    return re.sub(r"([|*<\[\]])", r"\\\1", text)


WHOLE_FILES = {
    "templates/manifest.schema.json": manifest_schema,
    "tests/contracts/graph_snapshot.json": graph_snapshot,
    "templates/metadata.json": lambda: _json(metadata("streaming")),
    "templates/metadata_batch.json": lambda: _json(metadata("batch")),
}
# Documents of which the part between two marks is generated.
PARTS = {
    "docs/commands.md": command_reference,
    "docs/options.md": options_reference,
    "docs/error-codes.md": error_reference,
    "docs/tables.md": table_reference,
    "docs/cost.md": cost_tables,
}
BEGIN, END = "<!-- generated: make generated -->\n", "<!-- end of what is generated -->"


def up_to_date() -> dict[str, str]:
    """Return what each of the files should hold."""
    result = {name: make() for name, make in WHOLE_FILES.items()}
    for name, make in PARTS.items():
        before, _, rest = (ROOT / name).read_text().partition(BEGIN)
        result[name] = before + BEGIN + make() + "\n" + END + rest.partition(END)[2]
    return result


if __name__ == "__main__":
    for path, content in up_to_date().items():
        (ROOT / path).write_text(content)
