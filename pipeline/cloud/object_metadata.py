"""The metadata of Dropcast's own objects, which identify them without reading them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from google.cloud import storage

from pipeline.core.elements import DeadLetter, Receipt, Request
from pipeline.core.outputs.outcomes import SOFTWARE
from pipeline.core.requests.uris import generation_number

PREFIX = "dropcast-"


@dataclass(frozen=True)
class ObjectMetadata:
    """Metadata of a forecast, a receipt, or the dead letters of a request; absent fields are None.

    Attributes:
        key, source, version, source_time, attempt: of the request.
        software: name and version of what wrote a forecast or a receipt.
        output, status, id: as in the receipt.
        code, scope: of the first dead letter.
        replayed: key of the request as which dead letters were sent again.
    """

    key: str | None = None
    source: str | None = None
    version: str | None = None
    source_time: str | None = None
    attempt: str | None = None
    software: str | None = None
    output: str | None = None
    status: str | None = None
    id: str | None = None
    code: str | None = None
    scope: str | None = None
    replayed: str | None = None

    @classmethod
    def of_forecast(cls, request: Request) -> ObjectMetadata:
        """Return the metadata of a request's forecast."""
        return cls(
            key=request.key,
            source=request.source,
            version=request.version,
            source_time=request.source_time,
            attempt=str(request.attempt),
            software=SOFTWARE,
        )

    @classmethod
    def of_receipt(cls, request: Request, receipt: Receipt) -> ObjectMetadata:
        """Return the metadata of a request's receipt."""
        forecast = cls.of_forecast(request)
        return dataclasses.replace(forecast, output=receipt.output, status=receipt.status, id=receipt.id)

    @classmethod
    def of_letters(cls, first: DeadLetter) -> ObjectMetadata:
        """Return the metadata of dead letters, by the first of them."""
        return cls(
            code=first.code,
            scope=first.scope,
            source=first.source,
            version=first.version,
            source_time=first.source_time,
        )

    @classmethod
    def read(cls, blob: storage.Blob | None) -> ObjectMetadata:
        """Return the metadata of an object; empty if the object does not exist or was not written by Dropcast."""
        there = (blob.metadata if blob is not None else None) or {}
        return cls(**{field.name: there.get(_name(field.name)) for field in dataclasses.fields(cls)})

    def to_dict(self) -> dict[str, str]:
        """Return the metadata as Cloud Storage stores them."""
        return {_name(name): text for name, text in vars(self).items() if text is not None}

    @property
    def rank(self) -> tuple[int, int]:
        """Orders the forecasts of a source; of two that differ only in options, the later one counts."""
        return generation_number(self.version or ""), generation_number(self.attempt or "")


def _name(field: str) -> str:
    return PREFIX + field.replace("_", "-")
