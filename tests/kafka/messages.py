"""What comes by Kafka."""

from __future__ import annotations

from tests.cloud.conftest import Stage


def notification(stage: Stage, name: str, generation: int) -> tuple[bytes, dict[str, str]]:
    """Return what a bucket tells of an object, as it comes by Kafka: its attributes are headers."""
    return b"", {
        "eventType": "OBJECT_FINALIZE", "bucketId": stage.uploads, "objectId": name,
        "objectGeneration": str(generation), "payloadFormat": "NONE", "eventTime": "2026-01-01T00:00:00Z",
    }  # fmt: skip
