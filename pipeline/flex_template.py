"""The Flex Template's files for Dataflow: metadata for people in the console, and container specs.

    python -m pipeline.flex_template --image=REGISTRY/dropcast:0.1.0 --kind=streaming > streaming.json

Everything is made from options.py and the types behind it, so that the template has exactly the pipeline's options.
The words are those of Dataflow's TemplateMetadata and ContainerSpec (google.cloud.dataflow_v1beta3).
"""

from __future__ import annotations

import argparse
import json
import sys
import typing
from typing import Any, Literal

from pydantic import BaseModel

from pipeline import __version__
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.requests.local_files import OPERATORS_FIELDS
from pipeline.options import RunOptions, choices_of, extra_of, group_of

Kind = Literal["streaming", "batch"]
KINDS: tuple[Kind, ...] = ("streaming", "batch")
_ABOUT: dict[Kind, tuple[str, str]] = {
    "streaming": (
        "Dropcast: forecast uploads",
        "Forecasts every series of each CSV that is uploaded to a bucket, with Prophet's model, and writes the "
        "forecasts to a CSV of the same name and to BigQuery. Runs until it is drained.",
    ),
    "batch": (
        "Dropcast: forecast existing objects",
        "Forecasts every series of the CSVs whose objects match a pattern, with Prophet's model, and writes the "
        "forecasts to CSVs of the same names and to BigQuery. Ends when all are done.",
    ),
}


def metadata(kind: Kind) -> dict[str, Any]:
    """Return the template's metadata."""
    name, description = _ABOUT[kind]
    result: dict[str, Any] = {"name": name, "description": description, "parameters": _parameters(kind)}
    if kind == "streaming":
        # outputs are idempotent, so that at-least-once does no harm: docs/delivery.md
        result |= {
            "streaming": True, "supportsAtLeastOnce": True, "supportsExactlyOnce": True,
            "defaultStreamingMode": "AT_LEAST_ONCE",
        }  # fmt: skip
    return result


def container_spec(kind: Kind, image: str) -> dict[str, Any]:
    """Return the spec that Dataflow launches: launcher and workers are one image.

    Args:
        kind: which template.
        image: with its registry and a version; never only `latest`.

    Raises:
        ValueError: if the image has no version.
    """
    version = image.rpartition("/")[2].partition("@")[2] or image.rpartition("/")[2].partition(":")[2]
    if not version or version == "latest":
        raise ValueError(f"{image} has no version; name one, such as {image.removesuffix(':latest')}:{__version__}")
    return {
        "image": image,
        "sdkInfo": {"language": "PYTHON"},
        "metadata": metadata(kind),
        "defaultEnvironment": {
            "sdkContainerImage": image,
            # the metadata's default mode applies only in the console
            **(
                {"enableStreamingEngine": True, "streamingMode": "STREAMING_MODE_AT_LEAST_ONCE"}
                if kind == "streaming"
                else {}
            ),
            "additionalExperiments": ["use_runner_v2"],
            "additionalUserLabels": {"app": "dropcast", "version": __version__.replace(".", "-")},
        },
    }


def option_names(kind: Kind) -> list[str]:
    """Return the names of the options that a template offers."""
    fields = {**RunOptions.model_fields, **ForecastSpec.model_fields, **Limits.model_fields}
    return [
        name
        for name, field in fields.items()
        if extra_of(field).get("only", kind) == kind and name not in OPERATORS_FIELDS
    ]


def _parameters(kind: Kind) -> list[dict[str, Any]]:
    return [
        _run_parameter(name) if name in RunOptions.model_fields else _model_parameter(name)
        for name in option_names(kind)
    ]


def _run_parameter(name: str) -> dict[str, Any]:
    field = RunOptions.model_fields[name]
    extra = extra_of(field)
    parameter = _named(name, field.description or "", extra["kind"], extra["group"])
    if not extra.get("required"):
        parameter["isOptional"] = True
    if "form" in extra:
        parameter["regexes"] = [f"^({extra['form']})$"]
    if isinstance(field.default, bool):
        parameter["defaultValue"] = _text(field.default)
    return parameter


def _model_parameter(name: str) -> dict[str, Any]:
    model: type[BaseModel] = ForecastSpec if name in ForecastSpec.model_fields else Limits
    field = model.model_fields[name]
    choices = choices_of(field.annotation)
    kind = "ENUM" if choices else _type_of(field.annotation)
    parameter = _named(name, field.description or "", kind, group_of(name))
    parameter["isOptional"] = True
    if choices:
        parameter["enumOptions"] = [{"value": choice, "label": choice} for choice in choices]
    if field.default not in (None, ()):
        parameter["defaultValue"] = _text(field.default)
    return parameter


def _named(name: str, text: str, kind: str, group: str) -> dict[str, Any]:
    label = name.replace("_", " ")
    return {
        "name": name, "label": label[0].upper() + label[1:], "helpText": text, "paramType": kind, "groupName": group,
    }  # fmt: skip


def _type_of(annotation: Any) -> str:
    kinds = {argument for argument in (annotation, *typing.get_args(annotation)) if isinstance(argument, type)}
    kinds -= {type(None)}
    if kinds == {bool}:
        return "BOOLEAN"
    return "NUMBER" if kinds and kinds <= {int, float} else "TEXT"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return (
        ",".join(f"{part:g}" for part in value)
        if isinstance(value, tuple)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def main(argv: list[str] | None = None) -> int:
    """Print a container spec, or the metadata alone if no image is given."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.flex_template", allow_abbrev=False)
    parser.add_argument("--kind", choices=KINDS, default="streaming", help="[%(default)s]")
    parser.add_argument("--image", help="image of launcher and workers, with its version")
    arguments = parser.parse_args(argv)
    try:
        found = container_spec(arguments.kind, arguments.image) if arguments.image else metadata(arguments.kind)
    except ValueError as error:
        print(f"--image: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found, indent=2, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
