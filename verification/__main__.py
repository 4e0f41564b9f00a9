"""Verify an installation in a project: python -m verification --project=acme-data --version=0.1.0 --report=report."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pipeline.terminal import complain, say
from verification.books import Options, Run
from verification.local_forecasts import what_is_compared
from verification.order import NAMES, STEPS, chosen, run_steps
from verification.project import Project
from verification.report import Report
from verification.units import estimate

PASSED, FAILED, REFUSED = 0, 1, 2
DEFAULT_NAME = "dropcast-verify"  # not that of gcp.mk: what is verified is destroyed at the end


def parser() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    found = argparse.ArgumentParser(
        prog="python -m verification",
        allow_abbrev=False,
        description="Set Dropcast up in a project, try everything, write a report, and remove it again.",
        epilog="exit codes: 0 all steps that ran have passed; 1 a step failed; 2 wrong options, or not confirmed",
    )
    add = found.add_argument
    add("--project", required=True, help="the project; it needs billing, and you the right to create all of this")
    add("--version", required=True, help="the version to build, or to take with --released")
    add("--region", default="europe-west1", help="the region of everything [%(default)s]")
    add("--name", default=DEFAULT_NAME, help="prefix of all names; another installation is left alone [%(default)s]")
    add("--report", type=Path, default=Path("verification-report"), metavar="DIR",
        help="folder for verification.json, verification.md and commands.log [%(default)s]")  # fmt: skip
    add("--released", action="store_true", help="take an existing release instead of building one")
    add("--existing", action="store_true", help="take an installation of this name that an earlier --keep left")
    add("--update-to", default="", metavar="VERSION", help="a released version to update the job to, and back")
    add("--kill-workers", action="store_true", help="delete the job's worker VMs in mid-work")
    add("--batch-files", type=int, default=10_000, metavar="N", help="files of the batch job [%(default)s]")
    add("--deadline", type=float, default=1800.0, metavar="SECONDS", help="of each wait for the project [%(default)s]")
    add("--poll", type=float, default=5.0, metavar="SECONDS", help="between two looks while waiting [%(default)s]")
    add("--python", default="", metavar="PATH", help="interpreter that has the release, for the local forecasts [this]")
    add("--steps", default="", metavar="NAME,...", help="only these steps, those that they need, and destroy")
    add("--keep", action="store_true", help="do not destroy anything at the end")
    add("--keep-on-failure", action="store_true", help="do not destroy anything if a step failed")
    add("--yes", action="store_true", help="do not ask before creating what is billed")
    add("--dry-run", action="store_true", help="print the steps, and do nothing")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    given = vars(parser().parse_args(argv))
    options = Options(**{**given, "steps": tuple(filter(None, given["steps"].split(",")))})
    problems = _problems(options)
    if problems:
        complain(problems)
        return REFUSED
    say("\n".join(_plan(options)))
    if options.dry_run:
        return PASSED
    if not options.yes and not _confirmed():
        complain(["Nothing was done."])
        return REFUSED
    return _verify(options)


def _problems(options: Options) -> list[str]:
    problems = [f"--steps: there is no step {name}; choose from {', '.join(NAMES)}"
                for name in options.steps if name not in NAMES]  # fmt: skip
    if options.batch_files < 1:
        problems.append("--batch-files: must be at least 1")
    if options.deadline <= 0 or options.poll <= 0:
        problems.append("--deadline, --poll: must be more than 0")
    if options.update_to == options.version:
        problems.append("--update-to: must be another version than --version")
    return problems


def _plan(options: Options) -> list[str]:
    """Return what would be done, and what it would create."""
    base = f"{options.project}-{options.name}"
    lines = [
        f"Verify {options.name} {options.version} in {options.project}, {options.region}.",
        "This creates, and is billed for:",
        f"  buckets   {base}-uploads, {base}-forecasts, {base}-temp, {base}-terraform (its state; it stays)",
        f"  topics    {options.name}-uploads and {options.name}-receipts, and a subscription",
        f"  dataset   {options.project}.{options.name.replace('-', '_')}",
        f"  jobs      {options.name} and {options.name}-backfill; {options.batch_files:,} files for the latter",
        f"  images    repository {options.name}; one build, unless --released",
        f"  accounts  {options.name}-worker, -launcher and -builder; a network and alerts",
        f"By the formulas of docs/cost.md about {estimate(options.batch_files):.2f} dollars, "
        "without the build and Streaming Engine's units.",
        "Steps:",
    ]
    wanted = chosen(options.steps)
    for step in STEPS:
        reason = step.skipped(options) or ("" if step.name in wanted else "not among --steps")
        needs = f"; needs {', '.join(step.needs)}" if step.needs else ""
        lines.append(f"  {step.name:<11}{f'skipped: {reason}' if reason else f'{step.title} ({step.runs}{needs})'}")
    return lines


def _confirmed() -> bool:
    try:
        return input("Type yes to go on: ").strip() == "yes"
    except EOFError:
        return False


def _verify(options: Options) -> int:
    options = dataclasses.replace(options, report=options.report.absolute())
    options.report.mkdir(parents=True, exist_ok=True)
    log = options.report / "commands.log"
    log.write_text("")
    with tempfile.TemporaryDirectory(prefix="verification-") as folder:
        scratch = Path(folder)
        project = Project(options.project, options.region, options.name, log, scratch / "terraform")
        started = datetime.now(UTC)
        run = Run(options, project, f"{started:%Y%m%dT%H%M%S}", scratch)
        report = Report(
            options.project, options.region, options.name, options.version, options.update_to, what_is_compared(),
            f"{started:%Y-%m-%dT%H:%M:%SZ}",
        )  # fmt: skip
        run_steps(run, report, say)
    report.finished = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    report.write(options.report)
    say(f"{'Passed' if report.passed else 'Failed'}: {options.report / 'verification.md'}")
    return PASSED if report.passed else FAILED


if __name__ == "__main__":
    sys.exit(main())
