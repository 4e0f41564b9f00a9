"""The local cloud as fixtures.

tests/conftest.py imports `cloud`, and nobody else: imported twice, it would be started twice in one process, and its
clients would ask the wrong one. The conftest.py of a folder of tests that need it imports `fresh_clients`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import pytest

from tests.downloads import or_skip, required
from tests.local_cloud.cloud import LocalCloud

NUMBERS = itertools.count()
"""Of what is created in the cloud: the same for whoever imports this, however often a conftest.py is imported."""


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalCloud]:
    """The servers, started once."""
    servers = or_skip(LocalCloud().start, required("DROPCAST_REQUIRE_CLOUD"))
    before = dict(os.environ)
    os.environ.update(servers.environment)
    yield servers
    os.environ.clear()
    os.environ.update(before)
    servers.stop()


def forget_clients() -> None:
    """Have the next call make its clients anew, as another process would."""
    from pipeline.cloud import clients

    for cached in (clients.storage_client, clients.bigquery_client, clients.bigquery_read_client, clients.publisher):
        cached.cache_clear()


@pytest.fixture(autouse=True)
def fresh_clients() -> Iterator[None]:
    """No test has the clients of another."""
    forget_clients()
    yield
    forget_clients()
