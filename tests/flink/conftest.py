from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cloud.conftest import fresh_clients, stage
from tests.downloads import or_skip, required
from tests.flink import install
from tests.flink.cluster import FlinkCluster
from tests.kafka.conftest import broker

__all__ = ["broker", "fresh_clients", "stage", "start_cluster"]
StartCluster = Callable[..., FlinkCluster]


@pytest.fixture
def start_cluster(tmp_path: Path) -> Iterator[StartCluster]:
    """Return a function that starts a cluster, or skip the test if there is none to be had.

    Its arguments are variables of the workers' environment.
    """
    parts = or_skip(install.parts, required("DROPCAST_REQUIRE_FLINK"))
    with ExitStack() as clusters:

        def start(**environment: str) -> FlinkCluster:
            return clusters.enter_context(FlinkCluster(parts, tmp_path / "cluster", environment))

        yield start
