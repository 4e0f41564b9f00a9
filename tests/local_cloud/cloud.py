"""Pub/Sub, Cloud Storage and BigQuery on this machine.

    with LocalCloud() as cloud:
        os.environ.update(cloud.environment)
        cloud.create_bucket("uploads")

Google's clients find the servers through `environment`; the rest of the program need not know that they are not real.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tests.downloads import Unavailable
from tests.local_cloud import install
from tests.local_cloud.bigquery_front import BigQueryFront

__all__ = ["LocalCloud", "Unavailable"]

START_SECONDS = 60.0
STOP_SECONDS = 5.0


class LocalCloud:
    """The servers, from `start` to `stop`. They end with the process that started them, whatever becomes of it."""

    project = "local-cloud"  # Beam takes no name of fewer than six letters.

    def __init__(self, bigquery: bool = True) -> None:
        self._has_bigquery = bigquery
        self._owner = 0
        self._servers: list[Child] = []
        self._front: BigQueryFront | None = None
        self.root = Path()
        self.storage = ""
        self.pubsub = ""
        self.bigquery = self.bigquery_storage = ""
        self.environment: dict[str, str] = {}

    def __enter__(self) -> LocalCloud:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> LocalCloud:
        """Build the servers if need be, start them and wait until they answer."""
        program = install.storage_and_pubsub()
        python = install.bigquery_python() if self._has_bigquery else None
        self._owner = os.getpid()
        self.root = Path(tempfile.mkdtemp(prefix="local-cloud-"))
        atexit.register(self.stop)
        try:
            self._start(program, python)
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self, program: Path, python: Path | None) -> None:
        buckets = self.root / "buckets"
        buckets.mkdir()
        main = Child([str(program), f"--root={buckets}", f"--remove={self.root}"], self.root / "storage.log")
        self._servers.append(main)
        if python:
            home = {"HOME": str(install.bigquery_home())}
            command = [str(python), "-I", str(install.HERE / "bigquery_emulator.py"), str(buckets)]
            emulator = Child(command, self.root / "bigquery.log", home)
            self._servers.append(emulator)
            ready = emulator.ready()
            self._front = BigQueryFront(ready["bigquery"])
            self.bigquery, self.bigquery_storage = self._front.url, ready["bigquery_storage"]
        addresses = main.ready()
        self.storage, self.pubsub = addresses["storage"], addresses["pubsub"]
        credentials = self.root / "credentials.json"
        credentials.write_text(json.dumps(user(self.project)))
        self.environment = {
            "PUBSUB_EMULATOR_HOST": self.pubsub,
            "STORAGE_EMULATOR_HOST": self.storage,
            **(
                {
                    "BIGQUERY_EMULATOR_HOST": self.bigquery,
                    "BIGQUERY_STORAGE_EMULATOR_HOST": self.bigquery_storage,
                }
                if self.bigquery
                else {}
            ),
            "GOOGLE_CLOUD_PROJECT": self.project,
            # Clients that look for credentials find these, and don't ask a metadata server for others.
            "GOOGLE_APPLICATION_CREDENTIALS": str(credentials),
            "NO_GCE_CHECK": "true",
        }

    def stop(self) -> None:
        """End the servers and remove what they held. May be called again."""
        if os.getpid() != self._owner:  # A fork of the process that started them.
            return
        atexit.unregister(self.stop)
        if self._front:
            self._front.stop()
            self._front = None
        servers, self._servers = self._servers, []
        for server in servers:
            server.end()
        for server in servers:
            server.wait()
        if self.root != Path():
            shutil.rmtree(self.root, ignore_errors=True)

    @property
    def front(self) -> BigQueryFront:
        """What is in front of BigQuery: `refuse_every` and `counts` are its own."""
        assert self._front, "the cloud has no BigQuery, or isn't started"
        return self._front

    # Google's clients, made for these servers. They are imported late: not all who start a cloud need them all.

    def storage_client(self, endpoint: str | None = None) -> Any:
        """Return a client of Cloud Storage, of a proxy before it if one is named."""
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage

        options = {"api_endpoint": endpoint or self.storage}
        return storage.Client(project=self.project, credentials=AnonymousCredentials(), client_options=options)

    def bigquery_client(self, endpoint: str | None = None) -> Any:
        """Return a client of BigQuery, of a proxy before it if one is named."""
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import bigquery

        options = {"api_endpoint": endpoint or self.bigquery}
        return bigquery.Client(project=self.project, credentials=AnonymousCredentials(), client_options=options)

    def publisher(self, address: str | None = None) -> Any:
        """Return a publishing client of Pub/Sub, of a proxy before it if one is named."""
        import grpc
        from google.cloud import pubsub_v1
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

        channel = grpc.insecure_channel(address or self.pubsub)
        return pubsub_v1.PublisherClient(transport=PublisherGrpcTransport(channel=channel))

    def subscriber(self, address: str | None = None) -> Any:
        """Return a subscribing client of Pub/Sub, of a proxy before it if one is named."""
        import grpc
        from google.cloud import pubsub_v1
        from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

        channel = grpc.insecure_channel(address or self.pubsub)
        return pubsub_v1.SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))

    def create_bucket(self, name: str) -> Any:
        """Make a bucket and return it."""
        return self.storage_client().create_bucket(name)

    def create_topic(self, name: str) -> str:
        """Make a topic and return its full name."""
        path = f"projects/{self.project}/topics/{name}"
        with self.publisher() as client:
            client.create_topic(name=path)
        return path

    def create_subscription(self, name: str, topic: str) -> str:
        """Subscribe to a topic and return the subscription's full name."""
        path = f"projects/{self.project}/subscriptions/{name}"
        with self.subscriber() as client:
            client.create_subscription(name=path, topic=f"projects/{self.project}/topics/{topic.split('/')[-1]}")
        return path

    def notify(self, bucket: str, topic: str, prefix: str | None = None) -> Any:
        """Let a topic hear of every object that is complete in a bucket, below a prefix if one is named."""
        notification = (
            self.storage_client()
            .bucket(bucket)
            .notification(
                topic_name=topic.split("/")[-1],
                topic_project=self.project,
                event_types=["OBJECT_FINALIZE"],
                blob_name_prefix=prefix,
                payload_format="JSON_API_V1",
            )
        )
        notification.create()
        return notification

    def create_dataset(self, name: str) -> Any:
        """Make a dataset and return it."""
        return self.bigquery_client().create_dataset(name)


class Child:
    """A server in a process of its own, which says in one line of JSON when it is ready.

    It ends when its standard input is closed, which the system does if this process is killed.
    """

    def __init__(self, command: list[str], log: Path, environment: dict[str, str] | None = None) -> None:
        self._command, self._log = command, log
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=log.parent,  # where DuckDB puts what does not fit into memory
                env={**os.environ, **(environment or {})},
                # Ctrl-C is for this process, which then ends its servers in order.
                start_new_session=True,
            )
        self._deadline = time.monotonic() + START_SECONDS
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def ready(self) -> dict[str, str]:
        """Wait for the line and return what it says."""
        try:
            line = self._lines.get(timeout=max(0.0, self._deadline - time.monotonic()))
        except queue.Empty:
            line = b""
        if not line:
            output = self._log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{Path(self._command[0]).name} isn't ready after {START_SECONDS:.0f} s: {output}")
        addresses: dict[str, str] = json.loads(line)
        return addresses

    def end(self) -> None:
        """Ask it to end."""
        assert self._process.stdin
        self._process.stdin.close()

    def wait(self) -> None:
        """Wait until it has ended; kill it if it does not."""
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def user(project: str) -> dict[str, str]:
    """Return a user's credentials that are good for nothing but to be found, and need not be refreshed for ages."""
    return {
        "type": "authorized_user",
        "client_id": "local",
        "client_secret": "local",
        "refresh_token": "local",
        "token": "local",
        "expiry": "2999-01-01T00:00:00Z",
        "quota_project_id": project,
    }
