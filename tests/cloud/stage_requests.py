"""Requests for what is uploaded in a test."""

from __future__ import annotations

import dataclasses

from pipeline.cloud.objects import live_version
from pipeline.core.elements import Request
from tests.cloud.conftest import Stage


def request_for(stage: Stage, name: str, content: str | bytes | None = None, **fields: object) -> Request:
    if content is not None:
        stage.upload(name, content)
    version = live_version(stage.uri(name))
    assert version is not None
    request = Request(version.uri, version.generation, version.time, name, '{"horizon":3,"score":false}')
    return dataclasses.replace(request, **fields)  # type: ignore[arg-type]
