from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.beam_workers import OPENED, write_boot_script
from tests.downloads import or_skip
from tests.ports import free_ports
from tests.spark.install import parts

START_SECONDS = 60.0


@pytest.fixture
def spark(tmp_path: Path) -> Iterator[list[str]]:
    """The pipeline's options for Spark with two threads in one process, behind Beam's job service."""
    found = or_skip(parts, bool(os.environ.get("DROPCAST_REQUIRE_SPARK")))
    ports = free_ports(2)
    log = tmp_path / "spark.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            ["java", *OPENED, "-Xmx1g", "-cp", f"{found.jars}/*",
             "org.apache.beam.runners.spark.SparkJobServerDriver", "--job-host=localhost", f"--job-port={ports[0]}",
             f"--artifact-port={ports[1]}", "--expansion-port=0", "--spark-master-url=local[2]"],
            stdout=file, stderr=file, cwd=tmp_path,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert process.poll() is None, log.read_text()
            try:
                socket.create_connection(("localhost", ports[0]), 1.0).close()
                break
            except OSError:
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
        boot = write_boot_script(tmp_path / "boot.sh", found.boot)
        yield ["--runner=PortableRunner", f"--job_endpoint=localhost:{ports[0]}", "--environment_type=PROCESS",
               f"--environment_config={json.dumps({'command': str(boot)})}"]  # fmt: skip
    finally:
        process.kill()
        process.wait()
