"""The local cloud, for a whole verification."""

from __future__ import annotations

from tests.local_cloud.fixtures import cloud, fresh_clients

__all__ = ["cloud", "fresh_clients"]
