"""A Flink cluster of one JobManager and some TaskManagers, each a process of its own, on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.beam_workers import OPENED, write_boot_script
from tests.flink.install import Parts
from tests.ports import free_ports

_LOG4J = """rootLogger.level = INFO
rootLogger.appenderRef.c.ref = C
appender.c.name = C
appender.c.type = CONSOLE
appender.c.layout.type = PatternLayout
appender.c.layout.pattern = %d{HH:mm:ss,SSS} %-5p %c{1} - %m%n
"""
_START_SECONDS = 120.0
# A worker is found dead after a while, and the one that takes its place has to register: restarts must outlast both.
_SETTINGS = {
    "jobmanager.rpc.address": "localhost", "jobmanager.bind-host": "localhost", "rest.address": "localhost",
    "rest.bind-address": "localhost", "taskmanager.host": "localhost", "taskmanager.bind-host": "localhost",
    "taskmanager.cpu.cores": "1",
    "taskmanager.memory.framework.heap.size": "128m", "taskmanager.memory.framework.off-heap.size": "128m",
    "taskmanager.memory.task.heap.size": "512m", "taskmanager.memory.task.off-heap.size": "64m",
    "taskmanager.memory.managed.size": "128m", "taskmanager.memory.network.min": "64m",
    "taskmanager.memory.network.max": "64m", "taskmanager.memory.jvm-metaspace.size": "256m",
    "taskmanager.memory.jvm-overhead.min": "192m", "taskmanager.memory.jvm-overhead.max": "192m",
    "parallelism.default": "2", "heartbeat.interval": "2000", "heartbeat.timeout": "12000",
    "restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.attempts": "1000",
    "restart-strategy.fixed-delay.delay": "2 s", "slot.request.timeout": "60000",
    "state.checkpoint-storage": "filesystem", "classloader.check-leaked-classloader": "false",
}  # fmt: skip


class FlinkCluster:
    """Runs until it is left; `with FlinkCluster(parts, folder, environment) as cluster`.

    Args:
        parts: what it is made of.
        folder: for its settings, logs and state.
        environment: of the workers, besides this process's own.
        task_managers: how many.
        slots: of each.
    """

    def __init__(
        self, parts: Parts, folder: Path, environment: Mapping[str, str], task_managers: int = 2, slots: int = 1
    ) -> None:
        self._task_managers, self._slots = range(1, task_managers + 1), task_managers * slots
        self._parts, self.folder, self._environment = parts, folder, {**os.environ, **environment}
        self._rest, rpc, blobs = free_ports(3)
        settings = {
            **_SETTINGS, "taskmanager.numberOfTaskSlots": str(slots),
            "rest.port": str(self._rest), "jobmanager.rpc.port": str(rpc),
            "blob.server.port": str(blobs), "state.checkpoints.dir": (folder / "checkpoints").as_uri(),
            "io.tmp.dirs": str(folder / "tmp"), "web.upload.dir": str(folder / "uploads"),
        }  # fmt: skip
        (folder / "conf").mkdir(parents=True)
        (folder / "tmp").mkdir()
        (folder / "conf" / "config.yaml").write_text(json.dumps(settings))  # JSON is YAML
        (folder / "conf" / "log4j.properties").write_text(_LOG4J)
        self._boot = write_boot_script(folder / "boot.sh", parts.boot)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> FlinkCluster:
        try:
            self._start(0)
            for number in self._task_managers:
                self._start(number)
            self.wait_for_task_managers()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @property
    def options(self) -> list[str]:
        """The pipeline's options by which it runs here."""
        return [
            "--runner=FlinkRunner", f"--flink_master=http://localhost:{self._rest}", "--flink_version=1.20",
            "--flink_submit_uber_jar", f"--flink_job_server_jar={self._parts.job_server}",
            f"--parallelism={self._slots}",
            "--environment_type=PROCESS", f"--environment_config={json.dumps({'command': str(self._boot)})}",
        ]  # fmt: skip

    def kill(self, number: int) -> None:
        """Kill a TaskManager together with its Python workers, and start another in its place."""
        process = self._processes[number]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._start(number)

    def wait_for_task_managers(self) -> None:
        """Wait until all are there."""
        deadline = time.monotonic() + _START_SECONDS
        while len(self._asked("taskmanagers").get("taskmanagers", ())) < len(self._task_managers):
            assert time.monotonic() < deadline, self.logs()
            assert self._processes[0].poll() is None, self.logs()
            time.sleep(0.2)

    def cancel_all(self) -> None:
        """Cancel the jobs that run."""
        for job in self._asked("jobs").get("jobs", ()):
            if job["status"] not in ("FINISHED", "FAILED", "CANCELED"):
                url = f"http://localhost:{self._rest}/jobs/{job['id']}?mode=cancel"
                urllib.request.urlopen(urllib.request.Request(url, method="PATCH"), timeout=30).close()

    def logs(self) -> str:
        """Return the ends of all logs."""
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in logs)

    def _asked(self, what: str) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://localhost:{self._rest}/{what}", timeout=10) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except (urllib.error.URLError, ConnectionError):
            return {}

    def _start(self, number: int) -> None:
        """Start the JobManager (0), or a TaskManager, in a process group of its own."""
        conf = self.folder / "conf"
        if number:
            memory = ["-Xms640m", "-Xmx640m", "-XX:MaxDirectMemorySize=256m", "-XX:MaxMetaspaceSize=256m"]
            main = ["org.apache.flink.runtime.taskexecutor.TaskManagerRunner", "--configDir", str(conf),
                    "-D", f"taskmanager.resource-id=tm{number}"]  # fmt: skip
        else:
            memory = ["-Xms512m", "-Xmx512m"]
            main = ["org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint", "--configDir", str(conf)]
        command = ["java", *memory, *OPENED, f"-Dlog4j.configurationFile={conf / 'log4j.properties'}",
                   "-cp", f"{self._parts.flink}/*", *main]  # fmt: skip
        with (self.folder / f"{'tm' if number else 'jm'}{number or ''}.log").open("ab") as log:
            self._processes[number] = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
                cwd=self.folder,  # where a worker leaves its options
            )

    def _stop(self) -> None:
        for process in self._processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
