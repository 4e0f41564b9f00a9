"""Run the BigQuery emulator until standard input is closed. For the Python that has it; see install.py.

It prints one line of JSON with its address when it is ready, as the other server does.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any


async def main(buckets: str) -> None:
    # The emulator logs to standard output; that is for the line about the address.
    ready = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from bqemulator.config import Settings
    from bqemulator.server import EmulatorServer

    repair_load_jobs()
    repair_time_travel()
    settings = Settings(
        rest_port=0,
        grpc_port=0,
        gcs_local_root=Path(buckets),
        default_project_id="local-cloud",
        log_level="warning",
        enable_format_extensions=False,  # They would be downloaded.
    )
    server = EmulatorServer(settings)
    await server.start()
    found = {"bigquery": f"http://127.0.0.1:{server._rest_port}", "bigquery_storage": f"127.0.0.1:{server.grpc_port}"}
    print(json.dumps(found), file=ready, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)  # Nothing is worth being put in order.


def repair_load_jobs() -> None:
    """Let a load job do all or nothing, find Parquet's columns by name and count the rows that it loaded.

    The emulator loads one file after the other, by the columns' order, and reports the rows of the whole table.
    """
    from bqemulator.api.routes import jobs as routes
    from bqemulator.jobs import executor

    loaded: dict[int, int] = {}
    apply_disposition, load_file = executor._apply_load_write_disposition, executor._load_path_into_target
    count, execute_load_job = executor._refresh_load_row_count, executor.execute_load_job

    def load_parquet(path: str, table: str, context: Any) -> None:
        context.engine.execute(f"INSERT INTO {table} BY NAME SELECT * FROM read_parquet(?)", [path])

    def load_all(job: Any, context: Any) -> None:
        context.engine.execute("BEGIN")
        try:
            apply_disposition(job, context)
            before = count(job, context)
            for uri in job.source_uris:
                load_file(executor._resolve_uri(uri, context), job, context)
            loaded[id(job.raw_config)] = count(job, context) - before
            context.engine.execute("COMMIT")
        except BaseException:
            context.engine.execute("ROLLBACK")
            raise

    async def execute(project: str, job_id: str, config: dict[str, Any], context: Any) -> Any:
        job = await execute_load_job(project, job_id, config, context)
        rows = loaded.pop(id(config["load"]))
        return job.model_copy(update={"statistics": {"load": {"outputRows": str(rows)}}})

    executor._LOAD_FORMAT_HANDLERS["PARQUET"] = load_parquet
    executor._apply_load_write_disposition = load_all
    executor._load_path_into_target = lambda path, job, context: None
    routes.execute_load_job = execute


def repair_time_travel() -> None:
    """Let a table's last change be the time of its newest state, and read sessions be of a time.

    The emulator notes a table's creation only, and reads whatever is there now.
    """
    import grpc
    from bqemulator.domain.errors import OutOfRangeError
    from bqemulator.grpc_api import read_servicer
    from bqemulator.versioning.snapshots import SnapshotManager

    managers: list[Any] = []
    capture, resolve = SnapshotManager.capture, read_servicer._resolve_read_target

    def capture_dated(self: Any, project: str, dataset: str, table: str, *, kind: str = "AUTO") -> Any:
        managers[:] = [self]
        state = capture(self, project, dataset, table, kind=kind)
        if state is not None:
            described = self._catalog.get_table(project, dataset, table)
            self._catalog.update_table(described.model_copy(update={"last_modified_time": state.snapshot_time}))
        return state

    def resolve_dated(session: Any, context: Any) -> Any:
        found = resolve(session, context)
        at = session.table_modifiers.snapshot_time if session.table_modifiers else None
        if found is None or at is None or not managers:
            return found
        try:
            state = managers[0].resolve_time_travel(*found[:3], at)
        except OutOfRangeError as error:
            context.set_code(grpc.StatusCode.INVALID_ARGUMENT)
            context.set_details(str(error))
            return None
        return found if state is None else (*found[:3], f'"{state.duckdb_schema}"."{state.duckdb_table}"', found[4])

    SnapshotManager.capture = capture_dated
    read_servicer._resolve_read_target = resolve_dated


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
