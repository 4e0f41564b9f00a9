"""Forecasts a range of days with Dropcast's batch template, one Dataflow job per day, and checks every file's receipt.

For each day: list its files; if one has no receipt yet, run the template; then compare the files with the receipts and
fail, naming files, codes and hints, if one is missing, failed or partial. docs/airflow.md says how to install it.

For Airflow 3.3. Up to 3.1, deferred tasks do not count against max_active_tis_per_dag, so the jobs of all days would
start at once.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import urllib.request
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook
from airflow.providers.google.cloud.hooks.dataflow import DataflowJobStatus
from airflow.providers.google.cloud.hooks.gcs import GCSHook
from airflow.providers.google.cloud.links.dataflow import DataflowJobLink
from airflow.providers.google.cloud.operators.dataflow import DataflowStartFlexTemplateOperator
from airflow.providers.google.cloud.triggers.dataflow import DataflowJobStatusTrigger
from airflow.sdk import BaseHook, Param, TriggerRule, dag, task, task_group
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from googleapiclient.errors import HttpError  # what the provider's Dataflow hook raises

log = logging.getLogger(__name__)

# Set for the environment, not for a run: how many jobs may run at once, over all runs, and the connection to use.
MOST_JOBS = int(os.environ.get("DROPCAST_MAX_JOBS", "5"))
POOL = os.environ.get("DROPCAST_POOL", "default_pool")
CONNECTION = os.environ.get("DROPCAST_GCP_CONN_ID", "google_cloud_default")

MOST_NAMED = 50  # files listed in an alert; the task's log has all of them
INTERNAL, MANIFEST_SUFFIX = "_dropcast", ".manifest.json"
MARKERS, TABLES = ("/", "_$folder$"), (".csv", ".gz", ".tsv", ".txt", ".parquet")

# The views' columns; {dataset} is checked against DATASET before it is filled in; everything else is a query parameter.
DATASET = r"[a-z0-9-]+[.:]\w+"
RECEIPTS = """
SELECT source, output, version, status, code, series, series_failed
FROM `{dataset}.latest_receipts`
WHERE STARTS_WITH(source, @prefix)
"""
# One row per code, however many series have it.
DEAD_LETTERS = """
SELECT source, output, version, scope, code, COUNT(*) AS letters, MIN(message) AS message, MIN(hint) AS hint
FROM `{dataset}.open_dead_letters`
WHERE STARTS_WITH(source, @prefix)
GROUP BY source, output, version, scope, code
ORDER BY source, output, scope, code
"""

PARAMS = {
    "start_date": Param(type="string", format="date", title="First day"),
    "end_date": Param(type="string", format="date", title="Last day (inclusive)"),
    "input": Param(
        type="string", pattern="^gs://[^/*?]+/.+$", title="Files of one day",
        description="{ds}, {ds_nodash}, {year}, {month}, {day} stand for the day: gs://uploads/sales/{ds}/*.csv",
    ),
    "template_version": Param(type="string", pattern=r"^[\w.-]+$", title="Released version of the template"),
    "options": Param(
        {}, type="object", title="Forecast options",
        description='By name, as in docs/options.md: {"horizon": 14}',
    ),
    "output": Param(
        None, type=["null", "string"], pattern="^gs://[^/]+(/.*)?$", title="Where forecasts go",
        description="Default: gs://PROJECT-NAME-forecasts/daily",
    ),
    "dataset": Param(
        None, type=["null", "string"], pattern=f"^{DATASET}$", title="Dataset of tables and receipts",
        description="Default: PROJECT.NAME",
    ),
    "project": Param(*filter(None, [os.environ.get("DROPCAST_PROJECT")]), type="string", pattern="^[a-z][a-z0-9-]+$"),
    "region": Param(os.environ.get("DROPCAST_REGION", "europe-west1"), type="string", pattern="^[a-z0-9-]+$"),
    "name": Param(
        os.environ.get("DROPCAST_NAME", "dropcast"), type="string", pattern="^[a-z][a-z0-9-]{2,19}$",
        description="The Terraform module's name: the prefix of buckets, accounts and jobs",
    ),
    "environment": Param(
        json.loads(os.environ.get("DROPCAST_ENVIRONMENT") or "{}"), type="object",
        title="Dataflow's runtime environment",
        description='Added to the DAG\'s own settings, under the API\'s names: {"machineType": "...", "maxWorkers": 4}',
    ),
    "allow_empty": Param(False, type="boolean", title="Allow days without files"),
    "allow_partial": Param(False, type="boolean", title="Allow files of which some series failed"),
    "alert_conn_id": Param(
        os.environ.get("DROPCAST_ALERT_CONN_ID") or None, type=["null", "string"], title="Connection with a webhook",
        description="Its password is the URL that failures are posted to; none: only the failed task alerts",
    ),
}  # fmt: skip


# What to run: plain functions of the parameters.


def resolved(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters, using the Terraform module's names where none is given."""
    project, name = params["project"], params["name"]
    dataset = params["dataset"] or f"{project}.{name.replace('-', '_')}"
    if not re.fullmatch(DATASET, dataset):
        raise AirflowFailException(f"dataset: must be PROJECT.DATASET (given: {dataset!r})")
    return {
        **params,
        "output": (params["output"] or f"gs://{project}-{name}-forecasts/daily").rstrip("/"),
        "dataset": dataset.replace(":", "."),
        "temp": f"gs://{project}-{name}-temp",
    }


def days_between(start: str, end: str) -> list[date]:
    """Return the days from start to end, both included."""
    first, last = date.fromisoformat(start), date.fromisoformat(end)
    if last < first:
        raise AirflowFailException(f"end_date {end} is before start_date {start}")
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def input_of(pattern: str, day: date) -> str:
    """Return the pattern of a day's files."""
    # not str.format: an object's name may contain any braces, for which its error messages would be obscure
    words = {"ds": day.isoformat(), "ds_nodash": f"{day:%Y%m%d}", "year": f"{day:%Y}", "month": f"{day:%m}",
             "day": f"{day:%d}"}  # fmt: skip
    for word, text in words.items():
        pattern = pattern.replace(f"{{{word}}}", text)
    if unknown := re.findall(r"\{[^}]*\}", pattern):
        raise AirflowFailException(f"input: {unknown[0]} is not one of {', '.join(f'{{{word}}}' for word in words)}")
    return pattern


def option_text(value: Any) -> str:
    """Return an option's value as the template takes it: text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and value and not any(isinstance(part, dict | list) for part in value):
        return ",".join(map(option_text, value))
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def launch_body(given: Mapping[str, Any], pattern: str, day: date) -> dict[str, Any]:
    """Return what is posted to flexTemplates:launch for a day; the same request always has the same job name."""
    own = {"input": pattern, "output": given["output"], "dataset": given["dataset"]}
    if taken := sorted(own.keys() & given["options"].keys()):
        raise AirflowFailException(f"options: {', '.join(taken)} cannot be set here; use the DAG's own parameter")
    options = {name: option_text(value) for name, value in given["options"].items() if value is not None}
    spec = f"{given['temp']}/templates/{given['template_version']}/batch.json"
    asked = json.dumps([spec, options, own], sort_keys=True)
    return {
        "launchParameter": {
            # Dataflow's rule for names: lower-case letters, digits, dashes; one active job per name and region.
            # The hash separates backfills of different files on the same day.
            "jobName": f"{given['name']}-backfill-{day:%Y%m%d}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}",
            "containerSpecGcsPath": spec,
            "parameters": options | own,
            "environment": {
                "serviceAccountEmail": f"{given['name']}-worker@{given['project']}.iam.gserviceaccount.com",
                "tempLocation": f"{given['temp']}/temp",
                "stagingLocation": f"{given['temp']}/staging",
                "ipConfiguration": "WORKER_IP_PRIVATE",
                # the module's own: the default network has no Private Google Access, so that workers could not start
                "subnetwork": f"regions/{given['region']}/subnetworks/{given['name']}",
                **given["environment"],
            },
        }
    }


def planned(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return, for each day, its date, the pattern of its files and the request body that launches its job."""
    given = resolved(params)
    days = days_between(given["start_date"], given["end_date"])
    inputs = [input_of(given["input"], day) for day in days]
    if len(set(inputs)) < len(days):
        raise AirflowFailException(f"input: {given['input']} matches the same files on several days; add {{ds}}")
    return [
        {"on": day.isoformat(), "pattern": pattern, "body": launch_body(given, pattern, day)}
        for day, pattern in zip(days, inputs, strict=True)
    ]


# What the results are: plain functions of the bucket's objects and the tables' rows.


def fixed_part(pattern: str) -> str:
    """Return the part of a pattern before its first wildcard."""
    return re.split(r"[*?\[]", pattern, maxsplit=1)[0]


def matches(pattern: str, uri: str) -> bool:
    """Return whether a pattern matches an object, by the rules of the pipeline's --input."""
    if pattern == fixed_part(pattern) and pattern.endswith("/"):
        return uri.startswith(pattern)
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern)
    text = "".join(parts.get(p) or (p.replace("[!", "[^") if p.startswith("[") else re.escape(p)) for p in pieces)
    return re.fullmatch(text, uri, re.DOTALL) is not None


def expected(pattern: str, listed: Iterable[tuple[str, int, int]], output: str, allow: str = "") -> dict[str, int]:
    """Return the objects that the pipeline forecasts or reads as manifests, and their generations.

    Args:
        pattern: the input's.
        listed: URI, generation and size of the objects in the bucket.
        output: where forecasts go; they are never read.
        allow: the pipeline's option of that name.
    """
    allowed = [part.strip() for part in allow.split(",") if part.strip()]

    def read(uri: str, size: int) -> bool:
        name = uri.split("/", 3)[3]
        return not (
            name.endswith(MARKERS)  # placeholders that consoles and tools create for folders
            or (size == 0 and not name.lower().endswith(TABLES))
            or INTERNAL in name.split("/")
            or name.lower().endswith(".sql")  # a query is run when a manifest asks for it
            or below(uri, [output])
            or (allowed and not below(uri, allowed))
        )

    return {uri: generation for uri, generation, size in listed if matches(pattern, uri) and read(uri, size)}


def forecast_name(name: str) -> str:
    """Return the name of an object's forecast: the same, but for Parquet, whose forecast is a CSV too."""
    return f"{name}.csv" if name.lower().endswith(".parquet") else name


def below(uri: str, prefixes: list[str]) -> bool:
    """Return whether an object is below one of the prefixes; gs://in/a is not below gs://in/ab."""
    return any(uri == prefix or uri.startswith(prefix.rstrip("/") + "/") for prefix in prefixes)


def number(version: str) -> int:
    """Return a generation as a number; 0 if it is not one."""
    return int(version) if version.isascii() and version.isdigit() else 0


def judged(
    files: Mapping[str, int], receipts: Iterable[Mapping[str, Any]], letters: Iterable[Mapping[str, Any]]
) -> list[dict[str, str]]:
    """Return the files with problems: file, status (missing, failed, partial), codes and a text.

    Args:
        files: URI and generation of each object of the day.
        receipts: rows of latest_receipts.
        letters: rows of open_dead_letters, counted by code.
    """
    newest = {(row["source"], row["output"]): row for row in receipts}
    letters = list(letters)
    problems = []
    for uri, generation in sorted(files.items()):
        # manifests may have asked for other forecasts of the same source
        row = newest.get((uri, forecast_name(uri.split("/", 3)[3])))
        if row is not None and number(row["version"]) < generation:
            row = None  # of an older generation: the current one has none yet
        if row is not None and row["status"] == "complete":
            continue
        # what never became a request has a dead letter without an output, and no receipt
        version, output = (row["version"], row["output"]) if row is not None else (str(generation), "")
        mine = [one for one in letters if (one["source"], one["version"], one["output"]) == (uri, version, output)]
        codes = [one["code"] for one in mine]
        texts = [f"{one['code']} ({one['letters']}): {one['message']} {one['hint']}" for one in mine]
        if row is not None:
            if row["status"] == "partial":
                texts.insert(0, f"{row['series_failed']} of {row['series']} series failed")
            problems.append(problem(uri, row["status"], codes or [row["code"]], texts))
        elif mine:
            problems.append(problem(uri, "failed", codes, texts))
        elif not uri.endswith(MANIFEST_SUFFIX):  # a manifest's forecast has its receipt under the input's name
            problems.append(problem(uri, "missing", [], [f"no receipt for generation {generation}"]))
    return problems


def problem(uri: str, status: str, codes: list[str], texts: list[str]) -> dict[str, str]:
    """Return the description of a file with problems."""
    return {"file": uri, "status": status, "codes": ", ".join(filter(None, codes)), "text": "; ".join(texts)}


def told(on: str, pattern: str, files: int, problems: list[dict[str, str]], job: str) -> str:
    """Return the alert's text: every file with its status, codes, messages and hints."""
    lines = [f"{on}: {len(problems)} of {files} files of {pattern} missing, failed or partial (Dataflow job {job}):"]
    lines += [
        f"  {one['file']}: {one['status']}{' ' + one['codes'] if one['codes'] else ''}: {one['text']}".rstrip(": ")
        for one in problems[:MOST_NAMED]
    ]
    if len(problems) > MOST_NAMED:
        lines.append(f"  and {len(problems) - MOST_NAMED} more: see the task's log")
    return "\n".join(lines)


# Talking to Google Cloud.


def list_objects(pattern: str) -> list[tuple[str, int, int]]:
    """Return URI, generation and size of the objects that start with a pattern's fixed part."""
    bucket, _, prefix = fixed_part(pattern).removeprefix("gs://").partition("/")
    blobs = GCSHook(gcp_conn_id=CONNECTION).get_conn().list_blobs(bucket, prefix=prefix)
    return [(f"gs://{bucket}/{blob.name}", int(blob.generation), int(blob.size or 0)) for blob in blobs]


def query(sql: str, given: Mapping[str, Any], prefix: str) -> list[dict[str, Any]]:
    """Return the rows that one of the queries above finds for sources with a prefix."""
    parameter = {"name": "prefix", "parameterType": {"type": "STRING"}, "parameterValue": {"value": prefix}}
    asked = {"query": sql.format(dataset=given["dataset"]), "useLegacySql": False, "queryParameters": [parameter],
             "parameterMode": "NAMED"}  # fmt: skip
    # no location: BigQuery derives it from the dataset
    job = BigQueryHook(gcp_conn_id=CONNECTION).insert_job(configuration={"query": asked}, project_id=given["project"])
    return [dict(row.items()) for row in job.result()]


def state_of_day(given: Mapping[str, Any], pattern: str) -> tuple[dict[str, int], list[dict[str, str]]]:
    """Return a day's files and their problems."""
    allow = option_text(given["options"].get("allow") or "")
    files = expected(pattern, list_objects(pattern), given["output"], allow)
    if not files:
        return files, []
    receipts, letters = (query(sql, given, fixed_part(pattern)) for sql in (RECEIPTS, DEAD_LETTERS))
    return files, judged(files, receipts, letters)


class RunTemplate(DataflowStartFlexTemplateOperator):
    """The provider's operator, deferred, with two changes that make retries safe.

    If a job of the same name is already running (because a response was lost or a worker went away), this waits for it;
    the operator would fail with 409. And the operator's own trigger waits forever for a job that was cancelled, so this
    uses the provider's trigger for a job's status, which knows every final state.
    """

    def execute(self, context: Any) -> None:
        """Start the job, or find the one already running, and wait for its end in the triggerer."""
        name = self.body["launchParameter"]["jobName"]
        try:
            job = self.hook.launch_job_with_flex_template(
                body=self.body, location=self.location, project_id=self.project_id
            )
        except HttpError as error:
            if error.resp.status != 409 or (found := self.active_job(name)) is None:
                raise  # also if it has just ended: the retry starts it again, and finished work stays finished
            self.log.info("%s is already running: waiting for job %s", name, found["id"])
            job = found
        self.job = job
        DataflowJobLink.persist(
            context=context, project_id=self.project_id, region=self.location, job_id=self.hook.extract_job_id(job)
        )
        self.defer(
            trigger=DataflowJobStatusTrigger(
                job_id=job["id"],
                expected_statuses={DataflowJobStatus.JOB_STATE_DONE},
                project_id=self.project_id,
                location=self.location,
                gcp_conn_id=self.gcp_conn_id,
                poll_sleep=self.poll_sleep,
            ),
            method_name="execute_complete",
        )

    def active_job(self, name: str) -> dict[str, Any] | None:
        """Return the active job with a name, or None."""
        jobs = self.hook.get_conn().projects().locations().jobs()
        answer = jobs.list(projectId=self.project_id, location=self.location, filter="ACTIVE", name=name).execute()
        return next((job for job in answer.get("jobs", ()) if job["name"] == name), None)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> str:
        """Return the trigger's message about the finished job.

        Raises:
            AirflowException: if the job did not succeed, or its status could not be read.
        """
        if event["status"] != "success":
            raise AirflowException(event["message"])
        return str(event["message"])


def alert(context: Any) -> None:
    """Post a failure to the webhook of the run's connection, if there is one; the log has the text anyway."""
    ti, conn_id = context["ti"], context["params"].get("alert_conn_id")
    text = f"{ti.dag_id} {context['run_id']} {ti.task_id}: {context.get('exception')}"
    log.error(text)
    if not conn_id:
        return
    try:
        url = BaseHook.get_connection(conn_id).password or ""
        if not url.startswith("https://"):
            raise ValueError("its password is not an https:// URL")
        post(url, {"text": text})
    except Exception:
        log.exception("The alert could not be posted to connection %s", conn_id)  # must not hide the failure itself


def post(url: str, content: dict[str, str]) -> None:
    """Post JSON in the form that chat webhooks accept."""
    request = urllib.request.Request(  # noqa: S310 - the caller checks for https
        url, json.dumps(content).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30):  # noqa: S310
        pass


@dag(
    dag_id="dropcast_backfill",
    description="Forecasts a range of days with Dropcast's batch template and checks every file's receipt",
    doc_md=__doc__,
    schedule=None,
    params=PARAMS,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=2), "retry_exponential_backoff": True},
    tags=["dropcast"],
)
def dropcast_backfill() -> None:
    """Make the DAG: a plan, then three tasks per day."""

    @task(on_failure_callback=alert)
    def plan(params: Any = None) -> list[dict[str, Any]]:
        return planned(params)

    @task
    def look(on: str, pattern: str, params: Any = None) -> None:
        # a second run of a range starts jobs only for days that lack something; partial files are not repeated
        _, problems = state_of_day(resolved(params), pattern)
        if all(one["status"] == "partial" for one in problems):
            raise AirflowSkipException(f"{on}: nothing to do")

    # all_done: the receipts decide, however the job ended; one alert per day, which names the files
    @task(trigger_rule=TriggerRule.ALL_DONE, on_failure_callback=alert)
    def check(on: str, pattern: str, body: dict[str, Any], params: Any = None) -> int:
        files, problems = state_of_day(resolved(params), pattern)
        if not files and not params["allow_empty"]:
            raise AirflowFailException(f"{on}: {pattern} matches no file (set allow_empty to accept such days)")
        for one in problems:
            log.warning("%s", one)
        problems = [one for one in problems if one["status"] != "partial" or not params["allow_partial"]]
        if problems:
            # not retried: the result stays the same until somebody acts
            raise AirflowFailException(told(on, pattern, len(files), problems, body["launchParameter"]["jobName"]))
        return len(files)

    @task_group
    def day(on: str, pattern: str, body: dict[str, Any]) -> None:
        forecast = RunTemplate(
            task_id="forecast",
            body=body,
            project_id="{{ params.project }}",
            location="{{ params.region }}",
            gcp_conn_id=CONNECTION,
            append_job_name=False,  # the name already identifies the day
            deferrable=True,  # occupies no worker while the job runs
            poll_sleep=30,
            max_active_tis_per_dag=MOST_JOBS,
            pool=POOL,
        )
        look(on, pattern) >> forecast >> check(on, pattern, body)

    day.expand_kwargs(plan())


dropcast_backfill()
