"""Google's clients, one of each per process. An emulator is used if its environment variable is set."""

from __future__ import annotations

import os
from functools import cache

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
        return storage.Client(project=_project(), credentials=AnonymousCredentials())
    return storage.Client()


@cache
def bigquery_client(project: str) -> bigquery.Client:
    """Return the client of BigQuery that bills a project."""
    emulator = os.environ.get("BIGQUERY_EMULATOR_HOST")
    if emulator:
        return bigquery.Client(
            project=project, credentials=AnonymousCredentials(), client_options={"api_endpoint": emulator}
        )
    return bigquery.Client(project=project)


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


def _project() -> str:
    return os.environ.get("GOOGLE_CLOUD_PROJECT", "local")
