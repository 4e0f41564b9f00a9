"""The steps of a verification: each does one thing in the project and compares what came of it."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import Any

from google.api_core import exceptions

from benchmarks.cost_model import ROWS_GB
from pipeline.cloud import clients
from pipeline.cloud.tables import job_name, location_of
from pipeline.core.outputs.tables import TABLES, VIEWS
from pipeline.core.requests.uris import folder_prefix, split_uri
from verification.books import (
    ACCOUNTING,
    DELIVERY,
    TABLES_CHAPTER,
    Run,
    Uploaded,
    ask,
    balance,
    counts,
    counts_only,
    read_receipts,
    receipts,
    settled,
    upload_folder,
    upload_small_files,
    wait_for_receipts,
)
from verification.files import LOADED, REPEATED, write_files
from verification.local_forecasts import difference, forecast_locally, unpacked
from verification.project import ACTIVE, ENDED_BADLY, Job
from verification.report import Failed
from verification.units import NEEDED, dollars, formula_vcpu_seconds, streaming_dollars, units_of

Found = dict[str, Any]

APPLY_SECONDS = 3600.0  # a drain may take as long as the work that was begun
BUILD_SECONDS = 5400.0  # cloudbuild.yaml's own timeout is an hour
DUPLICATES = 3
KILLED_FILES, DRAINED_FILES, UPDATED_FILES = 40, 10, 5
MAX_PARTS = 16  # of the file that is loaded
NIGHTLY_NAME = "backfill"  # what `make gcp-backfill` adds to the job's name
THIS = "docs/first-run.md, Verify a project with one command"
SETUP = "docs/google-cloud.md, From zero to the first forecast"
NO_JOB = "docs/run-book.md, No job"
UPDATES = "docs/run-book.md, Update, drain, roll back"
BACKLOG = "docs/run-book.md, Backlog"
UPLOADS_WITHOUT = "docs/run-book.md, Uploads without forecast"
DEAD_LETTERS = "docs/run-book.md, Dead letters"
COST = "docs/cost.md, Formulas, for a month of 730 hours"
DESTROY = "docs/run-book.md, Destroy"


# -------------------------------------------------------------------------------------- what is set up


def setup(run: Run) -> Found:
    """Create everything except the jobs."""
    options = run.options
    if run.project.is_installed() != options.existing:
        there = "an installation" if not options.existing else "no installation"
        advice = "--existing verifies it" if not options.existing else "leave out --existing"
        seen = f"{there} of the name {options.name} in {options.project} ({advice}, another --name is left alone)"
        raise Failed("an installation" if options.existing else "no installation", seen, THIS)
    run.begun = not options.existing
    if not options.existing:
        run.project.make("gcp-setup", APPLY_SECONDS, SETUP)
    else:
        run.project.terraform("init", "-input=false", f"-backend-config=bucket={run.project.state_bucket}")
    names = run.names
    foreign = foreign_uploads(run)
    if foreign:  # such as in a bucket that terraform.tfvars names: the batch step would forecast them
        raise Failed("an uploads' bucket without files of others", f"{len(foreign)}, such as {foreign[0]}", DESTROY)
    run.begun = True
    run.addresses = run.project.addresses()
    return {"compared": "Terraform's outputs name every place", "resources": len(run.addresses),
            "buckets": names.buckets}  # fmt: skip


def release(run: Run) -> Found:
    """Build the release, or find the one that was built."""
    sizes = {}
    for version in filter(None, (run.options.version, run.options.update_to)):
        specs = [f"{run.names.templates}/{version}/{kind}.json" for kind in ("streaming", "batch")]
        is_there = all(run.project.read(spec) is not None for spec in specs)
        # a version to update to may have been released before from other source
        if not run.options.released and not (is_there and version == run.options.update_to):
            run.project.make("gcp-release", BUILD_SECONDS, SETUP, VERSION=version)
        for spec in specs:
            content = run.project.read(spec)
            if content is None:
                raise Failed(f"{spec} to exist", "no such object", "docs/google-cloud.md, Image and templates")
            sizes[spec] = len(content)
    return {"compared": "the template specs exist", "bytes": sizes}


def start(run: Run) -> Found:
    """Start the streaming job."""
    run.project.make("gcp-run", APPLY_SECONDS, NO_JOB, VERSION=run.options.version)
    run.running = run.options.version
    return {"compared": "Terraform applied", "version": run.running}


def job_runs(run: Run) -> Found:
    """Wait until the streaming job runs."""
    job = wait_for_job(run, NO_JOB)
    return {"compared": "the job's state is JOB_STATE_RUNNING", "job": job.id}


# -------------------------------------------------------------------------------------- the first files


def uploads(run: Run) -> Found:
    """Upload good and bad files of several shapes, and wait for their receipts."""
    prefix = run.folder("shapes/")
    files = write_files(run.scratch / "shapes", prefix)
    for folder in (files.data, files.manifests):
        told = forecast_locally(folder, run.scratch / "local" / folder.name, run.names.parameters, run.options.python)
        run.local |= {receipt["output"]: receipt for receipt in told["receipts"]}
        run.letters += told["dead_letters"]
    run.shapes = upload_folder(run, files.data)
    named = {upload.output.removeprefix(prefix): upload for upload in run.shapes}
    # the manifest's input is there already: only the manifest itself is uploaded after it
    (manifest,) = (files.manifests / prefix).glob("*.manifest.json")
    run.project.upload(run.uri(f"{prefix}{manifest.name}"), manifest.read_bytes())
    (by_manifest,) = run.local.keys() - {upload.output for upload in run.shapes}
    asked = named[_input_of(run.local[by_manifest]).removeprefix(prefix)]
    run.shapes.append(Uploaded(asked.source, asked.version, by_manifest))
    there = wait_for_receipts(run, run.shapes, "shapes/", UPLOADS_WITHOUT)
    read = {receipt["output"]: receipt for receipt in read_receipts(run, there.values())}
    compared = ("status", "code", "series", "series_forecast", "series_failed", "rows")
    for output, here in sorted(run.local.items()):
        ours, theirs = ({name: one[name] for name in compared} for one in (here, read[output]))
        if ours != theirs:
            raise Failed(f"{output}: {ours}, as on this machine", str(theirs), DEAD_LETTERS)
    seconds = [receipt["load_seconds"] + receipt["fit_seconds"] for receipt in read.values()]
    return {
        "compared": f"{len(read)} receipts with those of this machine: {', '.join(compared)}",
        "files": len(read), "rows": sum(receipt["rows"] for receipt in read.values()),
        "statuses": dict(Counter(receipt["status"] for receipt in read.values())),
        "median_seconds_of_work": round(statistics.median(seconds), 3),
    }  # fmt: skip


def _input_of(receipt: Found) -> str:
    """Return the name of the input of a local receipt, as its forecast would have it without a manifest."""
    folder = "/manifests/"
    return str(receipt["source"]).rpartition(folder)[2]


def same_bytes(run: Run) -> Found:
    """Compare each forecast with this machine's, byte for byte."""
    compared = total = 0
    for output, receipt in sorted(run.local.items()):
        there = run.project.read(f"{folder_prefix(run.names.output)}{output}")
        paths = [run.scratch / "local" / kind / output for kind in ("data", "manifests")]
        here = next((path.read_bytes() for path in paths if path.is_file()), None)
        if receipt["status"] == "failed":
            if there is not None:
                raise Failed(f"no forecast of {output}", f"one of {len(there)} bytes", DELIVERY)
            continue
        if here is None or there is None:
            raise Failed(f"a forecast of {output}", "none", UPLOADS_WITHOUT)
        if unpacked(output, here) != unpacked(output, there):
            raise Failed(f"{output} to have the same bytes as on this machine", difference(output, here, there),
                         "docs/engine.md, Reproducibility")  # fmt: skip
        compared, total = compared + 1, total + len(there)
    return {"compared": f"{compared} forecasts, byte for byte (compressed ones unpacked)", "bytes": total}


def tables(run: Run) -> Found:
    """Query the tables and views: rows are counted once, and the dead letters are the expected ones."""
    answers = {}
    for view in VIEWS:
        (answer,) = ask(run, f"SELECT COUNT(*) AS n FROM {view}")  # noqa: S608 - a name of our own
        answers[view] = int(answer["n"])
    rows = sum(receipt["rows"] for receipt in run.local.values())
    wanted = {
        "rows in latest_forecasts": rows,
        "distinct rows in forecasts": rows,
        "rows in latest_receipts": len(run.local),
        "rows in open_dead_letters": len(run.letters),
    }
    seen = settled(run, lambda: counts(run, "shapes/"), wanted)
    letters = ask(run, "SELECT output, series_id, code FROM open_dead_letters WHERE {mine}", "shapes/")
    theirs = Counter((letter["output"], letter["series_id"] or "", letter["code"]) for letter in letters)
    ours = Counter((letter["output"], letter["series_id"], letter["code"]) for letter in run.letters)
    if theirs != ours:
        raise Failed(f"open dead letters: {sorted(ours)}", str(sorted(theirs)), DEAD_LETTERS)
    for name, number in wanted.items():
        if seen[name] != number:
            raise Failed(f"{name}: {number}", str(seen[name]), ACCOUNTING)
    return {
        "compared": f"rows, receipts and dead letters with this machine's; {len(VIEWS)} views answer",
        **counts_only(seen), "codes": dict(Counter(letter["code"] for letter in letters)), "views": answers,
        "load_job": _load_job(run),
    }  # fmt: skip


def _load_job(run: Run) -> str:
    """Return the id of the job that loaded the rows of the file with many series."""
    (receipt,) = (
        receipt for receipt in read_receipts(run, receipts(run, "shapes/").values())
        if receipt["output"].endswith(f"/{LOADED}")
    )  # fmt: skip
    key, client = receipt["request_key"], clients.bigquery_client(run.names.dataset.split(".")[0])
    for parts in range(1, MAX_PARTS + 1):
        job = f"dropcast_forecasts_{job_name(f'{key} {part}' for part in range(parts))}_0"
        try:
            client.get_job(job, location=location_of(run.names.dataset))
        except exceptions.NotFound:
            continue
        return job
    raise Failed(f"a load job for {LOADED}", "none under the names that its parts give", TABLES_CHAPTER)


# ------------------------------------------------------------------------- what must not change anything


def duplicates(run: Run) -> Found:
    """Announce a file again, and an older generation of it: nothing may change."""
    (upload,) = (one for one in run.shapes if one.source.endswith(f"/{REPEATED}"))
    older = Uploaded(upload.source, str(int(upload.version) - 1), upload.output)
    before, objects_before = counts(run, "shapes/"), _generations(run, "shapes/")
    if not run.wait(lambda: _counted_duplicates(run) is not None):
        raise Failed("the counter messages among the job's metrics", "none", "docs/how-it-works.md, Metrics")
    counted_before = _counted_duplicates(run) or 0
    created = run.project.created(upload.source)
    for version in (*[upload.version] * DUPLICATES, older.version):
        bucket, name = split_uri(upload.source)
        run.project.publish(
            run.names.topic, eventType="OBJECT_FINALIZE", bucketId=bucket, objectId=name, objectGeneration=version,
            payloadFormat="NONE", eventTime=created,
        )  # fmt: skip
    # what comes after them has a receipt, and so has the older generation, once they have been handled
    after = upload_small_files(run, "after_duplicates", 1)
    wait_for_receipts(run, after, "after_duplicates")
    there = wait_for_receipts(run, [older], "shapes/")
    (receipt,) = read_receipts(run, [there[older]])
    if receipt["status"] != "superseded":
        raise Failed("the older generation to be superseded", receipt["status"], DELIVERY)
    if not run.wait(lambda: (_counted_duplicates(run) or 0) >= counted_before + DUPLICATES):
        seen = f"{_counted_duplicates(run)} after {counted_before}"
        raise Failed(f"{DUPLICATES} more among the counters duplicates and done_before", seen, DELIVERY)
    objects_after = _generations(run, "shapes/")
    objects_after.pop(there[older])
    changed = sorted(name for name in objects_before if objects_after.get(name) != objects_before[name])
    added = sorted(objects_after.keys() - objects_before.keys())
    if changed or added:
        raise Failed("forecasts and receipts as they were", f"changed: {changed}, added: {added}", DELIVERY)
    seen_after = counts(run, "shapes/")
    if seen_after != before:
        raise Failed(f"counts as before: {before}", str(seen_after), ACCOUNTING)
    return {
        "compared": "counts of rows, and generations of forecasts and receipts, before and after",
        "duplicates": DUPLICATES, "older_generations": 1, "objects": len(objects_after),
        "duplicates_counted_by_the_job": (_counted_duplicates(run) or 0) - counted_before,
    }  # fmt: skip


def _generations(run: Run, part: str) -> dict[str, str]:
    """Return the generations of the forecasts and receipts of a part of the uploads, by name."""
    output = folder_prefix(run.names.output)
    found = {str(blob.name): str(blob.generation) for blob in run.project.objects(f"{output}{run.folder(part)}")}
    mine = set(receipts(run, part).values())
    found |= {str(blob.name): str(blob.generation) for blob in run.project.objects(f"{output}_dropcast/receipts/")
              if blob.name in mine}  # fmt: skip
    return found


def _counted_duplicates(run: Run) -> int | None:
    """Return how many duplicates the streaming job has counted; None if it reports no counters."""
    job = run.streaming_job()
    found = run.project.metrics(job.id, "user") if job else {}
    return int(found.get("duplicates", 0) + found.get("done_before", 0)) if "messages" in found else None


# ------------------------------------------------------------------------------- the life of the job


def kill_worker(run: Run) -> Found:
    """Delete the worker's VM in mid-work: nothing is lost or counted twice."""
    job = wait_for_job(run, NO_JOB)
    sent = upload_small_files(run, "killed", KILLED_FILES)
    if not run.wait(lambda: len(receipts(run, "killed/")) > 0):
        raise Failed("the first of the receipts", f"none within {run.options.deadline:g} s", BACKLOG)
    workers = run.project.gcloud(
        "compute", "instances", "list", f"--filter=labels.dataflow_job_id={job.id}", look_at=NO_JOB
    )
    done = len(receipts(run, "killed/"))
    if not workers:
        raise Failed(f"a worker with the label dataflow_job_id={job.id}", "none", NO_JOB)
    if done >= len(sent):
        raise Failed("work in progress when the worker is deleted", f"all {done} files were done", THIS)
    for worker in workers:
        zone = str(worker["zone"]).rpartition("/")[2]
        run.project.gcloud("compute", "instances", "delete", worker["name"], f"--zone={zone}", look_at=NO_JOB)
    found = balance(run, sent, "killed/", UPLOADS_WITHOUT)
    return {
        "compared": "receipts of all files; rows in tables with rows in receipts", **found,
        "deleted": [worker["name"] for worker in workers], "receipts_before_it": done,
    }  # fmt: skip


def update(run: Run) -> Found:
    """Update the running job to another version, and upload again."""
    return _change_version(run, "gcp-run", run.options.update_to, "updated")


def rollback(run: Run) -> Found:
    """Roll back to the version before the update, and upload again."""
    return _change_version(run, "gcp-rollback", run.options.version, "rolled_back")


def _change_version(run: Run, target: str, version: str, part: str) -> Found:
    before = wait_for_job(run, UPDATES)
    run.project.make(target, APPLY_SECONDS, UPDATES, VERSION=version)
    run.running = version
    job = wait_for_job(run, UPDATES, other_than=before.id)
    found = balance(run, upload_small_files(run, part, UPDATED_FILES), f"{part}/", UPLOADS_WITHOUT)
    return {"compared": "a new job runs; receipts and rows of what was uploaded then", "job": job.id, **found}


def drain(run: Run) -> Found:
    """Drain the job with files in flight, upload while none runs, and start again: the books balance."""
    sent = upload_small_files(run, "drained", DRAINED_FILES)
    run.project.make("gcp-drain", APPLY_SECONDS, UPDATES)
    _no_job_runs(run)
    done = len(receipts(run, "drained/"))
    sent += upload_small_files(run, "drained/meanwhile", 1)
    run.project.make("gcp-run", APPLY_SECONDS, UPDATES, VERSION=run.running)
    job = wait_for_job(run, UPDATES)
    found = balance(run, sent, "drained/", UPLOADS_WITHOUT)
    return {"compared": "receipts of files from before, during and after the drain; rows with receipts",
            "receipts_at_the_end_of_the_drain": done, "job": job.id, **found}  # fmt: skip


def batch(run: Run) -> Found:
    """Forecast many small files with the batch template, with the nightly job's pattern."""
    run.project.make("gcp-drain", APPLY_SECONDS, UPDATES)
    _no_job_runs(run)
    sent = upload_small_files(run, "batch", run.options.batch_files)
    name = f"{run.options.name}-{NIGHTLY_NAME}"
    known = {job.id for job in run.project.jobs(name)}
    run.project.make("gcp-backfill", APPLY_SECONDS, NO_JOB, VERSION=run.running or run.options.version,
                     INPUT=run.names.parameters["allow"])  # fmt: skip
    ended: list[Job] = []

    def has_ended() -> bool:
        ended[:] = [job for job in run.project.jobs(name) if job.id not in known]
        run.jobs.update({job.id: job.name for job in ended})
        return bool(ended) and ended[0].state not in ACTIVE

    if not run.wait(has_ended) or ended[0].state != "JOB_STATE_DONE":
        seen = ended[0].state if ended else "no such job"
        raise Failed(f"the job {name} to be done within {run.options.deadline:g} s", seen, NO_JOB)
    there = receipts(run, "batch/")
    missing = sorted(upload.output for upload in set(sent) - there.keys())
    if missing:
        seen = f"{len(sent) - len(missing)} when the job was done; without: {', '.join(missing[:5])}"
        raise Failed(f"{len(sent)} receipts", seen, UPLOADS_WITHOUT)
    return {"compared": "receipts of all files; rows in tables with rows in receipts", "job": ended[0].id,
            **balance(run, sent, "batch/", UPLOADS_WITHOUT)}  # fmt: skip


# -------------------------------------------------------------------------------- what it costs, and the end


def units(run: Run) -> Found:
    """Read what each job is billed by, and compare it with the formulas of docs/cost.md."""
    run.streaming_job()
    if not run.jobs:
        raise Failed("a job", "none", NO_JOB)
    found: Found = {"compared": "units of each job, beside the formulas of docs/cost.md"}
    for job, name in sorted(run.jobs.items(), key=lambda pair: pair[1]):
        metrics: dict[str, float] = {}

        def reported(job: str = job, metrics: dict[str, float] = metrics) -> bool:
            metrics.update(run.project.metrics(job, "service"))
            return metrics.keys() >= set(NEEDED)

        if not run.wait(reported):
            raise Failed(f"the metrics {', '.join(NEEDED)} of {name} ({job})", f"only {sorted(metrics)}", COST)
        is_batch = name.endswith(f"-{NIGHTLY_NAME}")
        told: Found = {**units_of(metrics), "dollars of its workers": round(dollars(metrics, is_batch), 4)}
        if is_batch:
            files = run.options.batch_files
            told["vCPU seconds by the formula"] = round(formula_vcpu_seconds(files, files), 1)
        else:
            hours = metrics["TotalVcpuTime"] / 3600 / 2
            told["dollars by the formula, for these hours of one worker"] = round(streaming_dollars(hours), 4)
        found[f"{name} {job}"] = told
    client = clients.bigquery_client(run.project.project)
    made = {table: client.get_table(f"{run.names.dataset}.{table}") for table in TABLES}
    found["rows and bytes of tables"] = {name: [table.num_rows, table.num_bytes] for name, table in made.items()}
    found["bytes per row, and by the formula"] = {
        name: [round((made[name].num_bytes or 0) / max(1, made[name].num_rows or 0)), round(assumed * 1e9)]
        for name, assumed in zip(("forecasts", "actuals"), ROWS_GB, strict=True)
    }
    found["objects and bytes of buckets"] = {bucket: _size(run, bucket) for bucket in run.names.buckets}
    return found


def _size(run: Run, bucket: str) -> list[int]:
    sizes = [int(blob.size or 0) for blob in run.project.objects(f"gs://{bucket}/")]
    return [len(sizes), sum(sizes)]


def destroy(run: Run) -> Found:
    """Remove everything, with the data."""
    names = run.names if run.has_names() else None
    foreign = foreign_uploads(run) if names else []
    if foreign:
        seen = f"{len(foreign)} that it did not upload, such as {foreign[0]}; nothing was removed"
        raise Failed("only files of this program in the uploads' bucket", seen, DESTROY)
    run.project.make("gcp-destroy", APPLY_SECONDS, DESTROY, DATA="destroy")
    left = [f"job {job.id}" for job in run.project.jobs(run.options.name) if job.state in ACTIVE]
    for bucket in names.buckets if names else []:
        if clients.storage_client().lookup_bucket(bucket) is not None:
            left.append(f"bucket {bucket}")
    if names:
        try:
            clients.bigquery_client(run.project.project).get_dataset(names.dataset)
            left.append(f"dataset {names.dataset}")
        except exceptions.NotFound:
            pass
    if run.project.is_installed():
        left.append("resources in Terraform's state")
    if left:
        raise Failed("nothing to be left", ", ".join(left), DESTROY)
    return {
        "compared": "no job, bucket or dataset is left",
        "kept": f"gs://{run.project.state_bucket}, Terraform's state",
    }


def foreign_uploads(run: Run) -> list[str]:
    """Return uploads that no verification has made."""
    prefix = f"{split_uri(folder_prefix(run.names.uploads))[1]}verification/"
    place = f"gs://{run.names.buckets[0]}/"
    return [str(blob.name) for blob in run.project.objects(place) if not blob.name.startswith(prefix)]


# ------------------------------------------------------------------------------------------------ jobs


def wait_for_job(run: Run, look_at: str, other_than: str = "") -> Job:
    """Wait until the streaming job runs; return it.

    Args:
        run: the verification.
        look_at: where to look if it does not.
        other_than: the id of the job that it takes the place of.
    """
    last: list[Job] = []

    def runs() -> bool:
        job = run.streaming_job()
        last[:] = [job] if job else []
        if job and job.state in ENDED_BADLY and job.id != other_than:
            raise Failed("the streaming job to run", f"{job.id} is {job.state}", look_at)
        return job is not None and job.state == "JOB_STATE_RUNNING" and job.id != other_than

    if not run.wait(runs):
        seen = f"{last[0].id} is {last[0].state}" if last else "no job of this name"
        raise Failed(f"the streaming job to run within {run.options.deadline:g} s", seen, look_at)
    return last[0]


def _no_job_runs(run: Run) -> None:
    jobs = [job for job in run.project.jobs(run.options.name) if job.state in ACTIVE]
    if jobs:
        raise Failed("no active job after the drain", f"{jobs[0].id} is {jobs[0].state}", UPDATES)
