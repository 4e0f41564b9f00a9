"""Receives bodies: bounded in bytes and in time, in memory or on disk."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import IO, Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from pipeline.service.answers import spooled
from pipeline.service.bodies import options_of
from pipeline.service.crowds import Budget

MULTIPART = "multipart/form-data"
OPTIONS_PART = "options"
MOST_OPTIONS = 1 << 20  # bytes of the part with options
MOST_PARTS = 10
PASSED_OVER_SECONDS = 5.0
BUSY, GONE = HTTPStatus.TOO_MANY_REQUESTS, 499  # the latter is what logs call a client that hung up


class BodyError(Exception):
    """A body that is not taken.

    Args:
        status: of the answer.
        code: of the problem.
        detail: what the sender reads.
    """

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


@dataclass
class Body:
    """A body that has arrived.

    Attributes:
        media_type: of the data, without parameters.
        data: it, at its beginning.
        size: bytes of it.
        options: that came along as JSON.
        taken: bytes that it has of the budget, to be given back.
    """

    media_type: str
    data: IO[bytes]
    size: int
    options: Mapping[str, Any] = field(default_factory=dict)
    taken: int = 0


async def receive(request: Request, most_bytes: int, seconds: float, budget: Budget | None = None) -> Body:
    """Return the body of a request: of a form the file in it, and the part `options`.

    Args:
        request: whose body has not been read.
        most_bytes: that it may have.
        seconds: in which it has to arrive.
        budget: of the bytes of all bodies.

    Raises:
        BodyError: if it is too large, or too slow, or breaks off, is not what its media type says, or there is no room.
        RecordError: BAD_MANIFEST if its options are no JSON object.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    taken = 0

    async def parts() -> AsyncGenerator[bytes, None]:
        nonlocal taken
        async for part in _parts(request, most_bytes):
            if budget is not None:
                if not budget.take(len(part)):
                    raise BodyError(BUSY, "BUSY", "The bodies of other requests take all the room.")
                taken += len(part)
            yield part

    kept = False
    try:
        async with asyncio.timeout(seconds):
            body = await (_form(request, parts()) if media_type == MULTIPART else _whole(media_type, parts()))
            kept = True
            return replace(body, taken=taken)
    except TimeoutError:
        raise BodyError(HTTPStatus.REQUEST_TIMEOUT, "TOO_SLOW", "The body takes too long to arrive.") from None
    except ClientDisconnect:
        raise BodyError(GONE, "BAD_MESSAGE", "The body breaks off.") from None
    finally:
        if budget is not None and not kept:
            budget.give_back(taken)


async def _parts(request: Request, most_bytes: int) -> AsyncGenerator[bytes, None]:
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most_bytes:
            await _pass_over(request)
            detail = f"The body has more than {most_bytes:,} bytes."
            raise BodyError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "TOO_MANY_BYTES", detail)
        yield part


async def _pass_over(request: Request) -> None:
    """Read on for a while: many clients look at an answer only once they have sent everything."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PASSED_OVER_SECONDS):
            while (await request.receive()).get("more_body"):
                pass


async def _whole(media_type: str, parts: AsyncGenerator[bytes, None]) -> Body:
    data, size = spooled(), 0
    try:
        async for part in parts:
            size += data.write(part)
    except BaseException:
        data.close()
        raise
    data.seek(0)
    return Body(media_type, data, size)


async def _form(request: Request, parts: AsyncGenerator[bytes, None]) -> Body:
    parser = MultiPartParser(request.headers, parts, max_files=2, max_fields=MOST_PARTS, max_part_size=MOST_OPTIONS)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise _bad_form(f"cannot be read: {error.message.rstrip('.')}") from None
    except (UnicodeError, LookupError):
        raise _bad_form("has a charset that it could not have") from None
    if len(form.getlist(OPTIONS_PART)) > 1:
        raise _bad_form("has the options twice")
    stated: Any = form.get(OPTIONS_PART, "{}")
    if isinstance(stated, UploadFile):  # a part with a media type of its own may come with a file name
        stated = await stated.read(MOST_OPTIONS)
    files = [one for name, one in form.multi_items() if isinstance(one, UploadFile) and name != OPTIONS_PART]
    for name, one in form.multi_items():
        if isinstance(one, str) and name != OPTIONS_PART:
            raise _bad_form(f"has a field {name!r}; options go into the address, or as JSON into the field 'options'")
    if len(files) != 1:
        raise _bad_form(f"has {len(files)} files, not one")
    (file,) = files
    kind = (file.content_type or "").partition(";")[0].strip().lower()
    return Body(kind, file.file, file.size or 0, options_of(stated))


def _bad_form(problem: str) -> BodyError:
    return BodyError(HTTPStatus.BAD_REQUEST, "BAD_MESSAGE", f"The form {problem}.")
