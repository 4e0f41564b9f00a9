"""Which steps there are, what each needs, and how they are run one after the other."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from verification import steps
from verification.books import Options, Run
from verification.report import Failed, Report, StepResult, without_secrets

LAST = "destroy"


def _never(options: Options) -> str:
    return ""


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        name: as in the report and in --steps.
        do: the function; its docstring's first line is the title.
        needs: names of steps without which it makes no sense.
        runs: what it runs in the project, for --dry-run.
        skipped: why the options leave it out; "" if they do not.
    """

    name: str
    do: Callable[[Run], steps.Found]
    needs: tuple[str, ...]
    runs: str
    skipped: Callable[[Options], str] = _never

    @property
    def title(self) -> str:
        """What it does."""
        return (self.do.__doc__ or "").partition("\n")[0].rstrip(".")


def _no_update(options: Options) -> str:
    return "" if options.update_to else "no --update-to"


STEPS = (
    Step("setup", steps.setup, (), "make gcp-setup"),
    Step("release", steps.release, ("setup",), "make gcp-release, unless --released"),
    Step("start", steps.start, ("release",), "make gcp-run"),
    Step("job-runs", steps.job_runs, ("start",), "gcloud dataflow jobs list and describe"),
    Step("uploads", steps.uploads, ("job-runs",), "uploads files; dropcast forecast on this machine"),
    Step("bytes", steps.same_bytes, ("uploads",), "reads the forecasts"),
    Step("tables", steps.tables, ("uploads",), "queries the dataset"),
    Step("duplicates", steps.duplicates, ("uploads",), "publishes notifications to the uploads' topic"),
    Step("kill", steps.kill_worker, ("job-runs",), "gcloud compute instances delete",
         lambda options: "" if options.kill_workers else "no --kill-workers"),
    Step("update", steps.update, ("job-runs",), "make gcp-run", _no_update),
    Step("drain", steps.drain, ("job-runs",), "make gcp-drain, make gcp-run"),
    Step("rollback", steps.rollback, ("update",), "make gcp-rollback", _no_update),
    Step("batch", steps.batch, ("release",), "make gcp-drain, make gcp-backfill"),
    Step("units", steps.units, ("start",), "gcloud beta dataflow metrics list"),
    Step(LAST, steps.destroy, (), "make gcp-destroy DATA=destroy",
         lambda options: "--keep" if options.keep else ""),
)  # fmt: skip
NAMES = tuple(step.name for step in STEPS)


def chosen(names: Sequence[str]) -> set[str]:
    """Return the steps that are to run if these are asked for: with those that they need, and the last one."""
    if not names:
        return set(NAMES)
    wanted = {*names, LAST}
    for step in reversed(STEPS):
        if step.name in wanted:
            wanted.update(step.needs)
    return wanted


def run_steps(run: Run, report: Report, tell: Callable[[str], None], sequence: Sequence[Step] = STEPS) -> None:
    """Run the steps in order, telling and recording what becomes of each."""
    wanted = chosen(run.options.steps)
    for step in sequence:
        reason = _reason_to_skip(step, wanted, run, report)
        if reason:
            result = StepResult(step.name, step.title, "skipped", reason=reason)
        else:
            tell(f"{step.name:<11}{step.title} ...")
            result = _result_of(step, run)
        report.steps.append(result)
        report.resources = resources(run)
        report.write(run.options.report)  # so that there is one if the program is killed
        tell(f"{step.name:<11}{result.status}, {result.seconds:.1f} s{_because(result)}")


def _reason_to_skip(step: Step, wanted: set[str], run: Run, report: Report) -> str:
    if step.name not in wanted:
        return "not among --steps"
    if reason := step.skipped(run.options):
        return reason
    if step.name == LAST:
        if not run.begun:
            return "nothing was created"
        failed = any(result.status == "failed" for result in report.steps)
        return "--keep-on-failure, and a step failed" if failed and run.options.keep_on_failure else ""
    passed = {result.name for result in report.steps if result.status == "passed"}
    lacking = [name for name in step.needs if name not in passed]
    return f"needs {', '.join(lacking)}, which did not pass" if lacking else ""


def _result_of(step: Step, run: Run) -> StepResult:
    """Run a step; an error of any kind fails it, and no other."""
    begun = time.monotonic()
    result = StepResult(step.name, step.title, "passed")
    try:
        result.found = step.do(run)
    except Failed as failed:
        result.status = "failed"
        result.expected, result.seen, result.look_at = failed.expected, failed.seen, failed.look_at
    except Exception as error:  # noqa: BLE001 - whatever a client raises: the other steps go on, and destroy comes last
        result.status = "failed"
        result.expected, result.look_at = "no error", "verification/steps.py; the traceback is in commands.log"
        result.seen = f"{type(error).__name__}: {error}"
        with run.project.log.open("a") as file:
            file.write(without_secrets(traceback.format_exc()))
    result.seconds = round(time.monotonic() - begun, 1)
    return result


def resources(run: Run) -> dict[str, list[str]]:
    """Return the names of what was created, by kind."""
    if not run.begun:
        return {}
    found = {"state bucket": [run.project.state_bucket]}
    if run.has_names():
        names = run.names
        found |= {
            "buckets": names.buckets, "dataset": [names.dataset], "topics": [names.topic, names.receipts],
            "subscription": [names.subscription], "image repository": [names.repository],
            "service accounts": list(names.accounts), "uploads": [run.uri(run.folder())],
        }  # fmt: skip
    found["jobs"] = [f"{name} {job}" for job, name in run.jobs.items()]
    found["Terraform addresses"] = run.addresses
    return {kind: names for kind, names in found.items() if names}


def _because(result: StepResult) -> str:
    if result.status == "failed":
        return f": expected {result.expected}; saw {result.seen}. Look at {result.look_at}."
    return f": {result.reason or result.found.get('compared', '')}".rstrip(": ")
