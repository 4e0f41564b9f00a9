"""Refusals as problem details (RFC 9457): JSON with a code, what is wrong, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastapi import Response

from pipeline.core.errors import RecordError
from pipeline.service.received import BUSY, BodyError

MEDIA_TYPE = "application/problem+json"
OWN_CODES = ("INTERNAL_ERROR", "CRASHED")
NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}  # headers of an answer


def refusal(error: RecordError) -> Response:
    """Return the problem details of a record's own fault."""
    status = 500 if error.code in OWN_CODES else 422
    return problem(status, error.code, error.message, hint=error.hint, line=error.line, column=error.column)


def problem(status: int, code: str, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """Return a refusal as problem details, with what else is known."""
    content = {"type": "about:blank", "title": code, "status": status, "code": code, "detail": detail}
    content |= {name: value for name, value in more.items() if value is not None}
    # in ASCII, which has every character that a message may quote, halves of some among them
    return Response(json.dumps(content), status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def not_taken(error: BodyError) -> Response:
    """Return the problem details of a body that is not taken."""
    return busy(error.detail) if error.status == BUSY else problem(error.status, error.code, error.detail)


def busy(detail: str) -> Response:
    """Return the answer to what there is no room for now."""
    return problem(BUSY, "BUSY", detail, headers={"Retry-After": "1"}, hint="Send it again in a second.")
