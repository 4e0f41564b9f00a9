"""What the OpenAPI document says of forecasts, and the document as a page that needs no script and no network."""

from __future__ import annotations

import html
import json
from typing import Any

from pipeline.core.outputs.forecast_frame import NAMES
from pipeline.service.bodies import ARROW, CSV, HTML, JSON, PARQUET

_CSV_EXAMPLE = "store,date,sales\nnorth,2026-01-01,12.5\nnorth,2026-01-02,13\n"
_RECORDS = [{"unique_id": "north", "ds": "2026-01-01", "y": 12.5}, {"unique_id": "north", "ds": "2026-01-02", "y": 13}]
_BODY: dict[str, Any] = {"required": True, "content": {
    CSV: {"schema": {"type": "string"}, "example": _CSV_EXAMPLE},
    JSON: {"schema": {}, "examples": {
        "records": {"value": _RECORDS},
        "columns": {"value": {"ds": ["2026-01-01", "2026-01-02"], "y": [12.5, 13]}},
        "with options": {"value": {"options": {"horizon": 14}, "data": _RECORDS}},
    }},
    "multipart/form-data": {"schema": {"type": "object", "properties": {
        "file": {"type": "string", "format": "binary"}, "options": {"type": "string"}}},
        "example": {"file": "sales.csv", "options": '{"horizon": 14}'}},
    PARQUET: {}, ARROW: {},
}}  # fmt: skip


def _parameter(name: str, schema: dict[str, Any], example: Any, text: str = "") -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "example": example, "description": text}


_OPTIONS = [
    _parameter("horizon", {"type": "integer"}, 14, "As every option of a forecast (docs/options.md), without dashes."),
    _parameter("frequency", {"type": "string"}, "D", "If so few dates as in the examples do not show it."),
    _parameter("level", {"type": "string"}, "80,95", "Levels of the prediction intervals, in percent."),
    _parameter("model", {"type": "string", "enum": ["prophet", "auto"]}, "auto"),
    _parameter("components", {"type": "boolean"}, True, "Also the trend, the seasonalities and so on."),
]
SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "One of the operator's keys."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
LOCKED: dict[str, Any] = {"security": [{name: []} for name in SECURITY_SCHEMES]}  # an operation that needs a key
FORECAST = {
    "parameters": [
        *_OPTIONS,
        _parameter("names", {"type": "string", "enum": list(NAMES)}, "nixtla", "Names of the columns, except in CSV."),
        _parameter("orient", {"type": "string", "enum": ["records", "columns"]}, "records", "Of JSON; by default as "
                   "the data came."),
        _parameter("name", {"type": "string"}, "sales.csv", "What a page calls the data."),
    ],
    "requestBody": _BODY,
}  # fmt: skip
CHECK = {"parameters": _OPTIONS, "requestBody": _BODY}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The body is a form that cannot be read."},
    401: {"description": "A key is missing or wrong."},
    408: {"description": "The body takes too long to arrive."},
    413: {"description": "The body is too large."},
    422: {"description": "The options or the data are refused, with a code and what to do next.",
          "content": {"application/problem+json": {"example": {
              "type": "about:blank", "title": "BAD_DATE_FORMAT", "status": 422, "code": "BAD_DATE_FORMAT",
              "detail": "'01/02/2026' can be read in several ways, such as day/month or month/day.",
              "hint": "Use --date_format='%d/%m/%Y' or --date_format='%m/%d/%Y'.", "line": 2, "column": "date"}}}},
    429: {"description": "As many forecasts as may be are made: send it again later."},
    500: {"description": "An internal error; the log has the traceback."},
}  # fmt: skip
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The forecast; the header dropcast-series-failed says how many series have none.",
          "content": {
              CSV: {"example":
                    "store,date,prediction,prediction_lower,prediction_upper\nnorth,2026-01-03,13.1,12,14\n"},
              JSON: {"example": {"forecasts": [{"store": "north", "date": "2026-01-03", "prediction": 13.1,
                                                "prediction_lower": 12.0, "prediction_upper": 14.0}],
                                 "series": 1, "series_failed": 0, "faults": [], "notes": []}},
              ARROW: {}, PARQUET: {}, HTML: {}}},
    406: {"description": "None of the accepted media types can be had."},
    **_REFUSALS,
}  # fmt: skip
FINDINGS: dict[int | str, dict[str, Any]] = {
    200: {"description": "What would be done, and every problem found; as dropcast check --json.",
          "content": {JSON: {"example": {"columns": {"date": "date", "value": ["sales"], "id": ["store"]},
                                         "series": 1, "frequencies": {"D": 1}, "problems": 0}}}},
    **_REFUSALS,
}  # fmt: skip
_STYLE = (
    ":root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif;background:light-dark(#fff,#16181b);"
    "color:light-dark(#1b1c1e,#e6e7e9)}a{color:light-dark(#0b57d0,#a8c7fa)}body{max-width:60rem;margin:2rem auto;"
    "padding:0 1rem}pre{overflow:auto;padding:.5rem;border:1px solid #8888}"
    "h2{border-top:1px solid #8888;padding-top:1rem}"
    "table{border-collapse:collapse}td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0}"
)


def page(document: dict[str, Any]) -> str:
    """Return an OpenAPI document as a page."""
    title = html.escape(document["info"]["title"])
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}: reference</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main><h1>{title} {html.escape(document['info']['version'])}</h1>"
        f"<p>{html.escape(document['info']['description'])} "
        '<a href="openapi.json">The same for machines (OpenAPI)</a>. <a href="/">Forecast a file here</a>.</p>'
    ]
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            parts += _route(f"{method.upper()} {path}", route)
    return "".join([*parts, "</main></body></html>"])


def _route(name: str, route: dict[str, Any]) -> list[str]:
    parts = [f"<h2><code>{html.escape(name)}</code></h2><p>{html.escape(route['summary'])}.</p>"]
    if route.get("parameters"):
        rows = [(one["name"], f"{one.get('description', '')} Example: {one.get('example', '')}".strip())
                for one in route["parameters"]]  # fmt: skip
        parts.append(_table("Parameters", rows))
    for kind, media in route.get("requestBody", {}).get("content", {}).items():
        parts.append(_examples(f"Body as {kind}", media))
    parts.append(_table("Answers", [(status, one["description"]) for status, one in route["responses"].items()]))
    for status, answer in route["responses"].items():
        parts += [_examples(f"{status} as {kind}", media) for kind, media in answer.get("content", {}).items()]
    return parts


def _table(title: str, rows: list[tuple[str, str]]) -> str:
    body = "".join(
        f"<tr><th scope=row><code>{html.escape(a)}</code></th><td>{html.escape(b)}</td></tr>" for a, b in rows
    )
    return f"<h3>{title}</h3><table>{body}</table>"


def _examples(title: str, media: dict[str, Any]) -> str:
    found = [one["value"] for one in media.get("examples", {}).values()] or [
        media[key] for key in ("example",) if key in media
    ]
    shown = [one if isinstance(one, str) else json.dumps(one, indent=1) for one in found]
    return f"<h4>{html.escape(title)}</h4>" + "".join(f"<pre tabindex=0>{html.escape(one)}</pre>" for one in shown)
