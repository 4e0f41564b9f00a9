"""Google's clients, one of each per process. An emulator is used if its environment variable is set."""

from __future__ import annotations

import os
from functools import cache
from typing import TypeVar
from urllib.request import getproxies

import grpc
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, bigquery_storage_v1, pubsub_v1, storage
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport


@cache
def storage_client() -> storage.Client:
    """Return the client of Cloud Storage.

    By default it looks up the bucket after each missing object, for traces that nobody uses: half of all reads.
    """
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    if os.environ.get("STORAGE_EMULATOR_HOST"):
        return _quick(storage.Client(project=_project(), credentials=AnonymousCredentials()))
    return _quick(storage.Client())


@cache
def bigquery_client(project: str) -> bigquery.Client:
    """Return the client of BigQuery that bills a project."""
    emulator = os.environ.get("BIGQUERY_EMULATOR_HOST")
    if emulator:
        return _quick(bigquery.Client(
            project=project, credentials=AnonymousCredentials(), client_options={"api_endpoint": emulator}
        ))  # fmt: skip
    return _quick(bigquery.Client(project=project))


@cache
def bigquery_read_client() -> bigquery_storage_v1.BigQueryReadClient:
    """Return the client of BigQuery's Storage Read API."""
    emulator = os.environ.get("BIGQUERY_STORAGE_EMULATOR_HOST")
    if emulator:
        transport = BigQueryReadGrpcTransport(channel=grpc.insecure_channel(emulator))
        return bigquery_storage_v1.BigQueryReadClient(transport=transport)
    return bigquery_storage_v1.BigQueryReadClient()


@cache
def publisher() -> pubsub_v1.PublisherClient:
    """Return the publisher of Pub/Sub."""
    return pubsub_v1.PublisherClient()


C = TypeVar("C", storage.Client, bigquery.Client)
_READ_BY_REQUESTS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def _quick(client: C) -> C:
    """Return a client that does not look for proxies in the environment at each call, if there are none.

    The library requests does, and for certificates too, which takes a millisecond: a sixth of what a push costs.
    """
    if not getproxies():
        client._http.verify = next(filter(None, map(os.environ.get, _READ_BY_REQUESTS)), True)
        client._http.trust_env = False
    return client


def _project() -> str:
    return os.environ.get("GOOGLE_CLOUD_PROJECT", "local")
