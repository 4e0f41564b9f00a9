from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud.conftest import fresh_clients, stage
from tests.downloads import or_skip
from tests.kafka.broker import KafkaBroker
from tests.kafka.install import jars

__all__ = ["broker", "fresh_clients", "stage"]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[KafkaBroker]:
    """A broker, or none: then the test is skipped."""
    found = or_skip(jars, bool(os.environ.get("DROPCAST_REQUIRE_KAFKA")))
    with KafkaBroker(found, tmp_path / "kafka") as started:
        yield started
