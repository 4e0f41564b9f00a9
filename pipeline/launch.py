"""Runs the pipeline: Dropcast's options and Beam's are validated together before anything starts."""

from __future__ import annotations

import argparse
import builtins
import dataclasses
import difflib
import logging
import math
import os
import re
import signal
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import apache_beam as beam
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.options.pipeline_options import (
    DebugOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
    WorkerOptions,
)

from pipeline import flink, graph
from pipeline.core.limits import Limits
from pipeline.core.outputs.summary import describe, describe_counts, exit_code_of_counts, outcome_of
from pipeline.core.range_sizes import RANGE_BYTES
from pipeline.folder.lock import BusyError
from pipeline.folder.output import FolderOutput
from pipeline.kafka_topic import KafkaTopic
from pipeline.metrics import NAMESPACE
from pipeline.options import OptionsError, add_run_arguments, unknown_options, with_underscores
from pipeline.places import open_output
from pipeline.runs import BucketRun, FolderRun, run_from
from pipeline.terminal import say

THREADS = 4  # of one worker process on Dataflow
DISK_GB = 30  # of a worker, for the image and the logs; a large file in each process takes --max_work_bytes more
DIRECT = "DirectRunner"
READ_BY_BEAM = ("BundleBasedDirectRunner",)  # has Beam's own source for Pub/Sub, and no splittable DoFn without an end
GRACE = 12.0  # seconds for what is being worked on when a signal comes: Kubernetes kills after thirty, and a
# server that is away takes the rest
NEAR = 0.85  # likeness of a misspelt option to the one that is meant
_log = logging.getLogger(__name__)


class DropcastOptions(PipelineOptions):  # type: ignore[misc]
    """The options of options.py, declared to Beam."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        add_run_arguments(parser)


def run(argv: list[str]) -> int:
    """Run the pipeline to its end; return 0, or 3 if something was dead-lettered.

    Raises:
        OptionsError: if an option is wrong or unknown.
    """
    argv = with_underscores(argv)
    problems = _problems_with(argv)
    options = PipelineOptions(argv)
    arguments = options.view_as(DropcastOptions).get_all_options()
    asked = run_from(arguments, [arguments["input"]] if arguments.get("input") else [], problems)
    if (
        arguments.get("range_bytes") is None and _runner_of(options) != DIRECT
    ):  # one process gains nothing by reading ranges
        asked = dataclasses.replace(asked, range_bytes=RANGE_BYTES)
    options.view_as(SetupOptions).save_main_session = False  # the package is installed where it runs
    if isinstance(asked, BucketRun):
        return _run_between_buckets(options, asked, argv)
    return _run_in_folder(options, asked) if asked.inbox is None else _watch_folder(options, asked, argv)


def _runner_of(options: PipelineOptions) -> str:
    """Return the name of the runner."""
    return options.view_as(StandardOptions).runner or DIRECT


def _run_in_folder(options: PipelineOptions, run: FolderRun) -> int:
    """Run the pipeline on this machine's files."""
    for name in ("common", "worker", "portability"):  # the exceptions they log are also raised
        logging.getLogger(f"apache_beam.runners.{name}").setLevel(logging.CRITICAL)
    run = dataclasses.replace(run, id=uuid.uuid4().hex[:12])
    folder = FolderOutput(run.output, run=run.id)
    try:
        with _alone_in(folder):
            folder.forget_runs()  # of those that were killed
            try:
                with beam.Pipeline(options=options) as pipeline:
                    graph.build(pipeline, run)
                outcome = outcome_of(*folder.done_in_run())
            finally:
                folder.forget_runs()
    except RuntimeError as error:
        within = _os_error_within(str(error), str(run.output))
        if within is None:
            raise
        raise within from None
    say(describe(outcome, run.output))
    return outcome.exit_code


@contextmanager
def _alone_in(folder: FolderOutput) -> Iterator[None]:
    """Keep others from writing to a folder meanwhile.

    Raises:
        OptionsError: if another run writes there.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(folder.for_us_alone())
        except BusyError as error:
            raise OptionsError([f"--output: {error}; wait for it, or choose another folder"]) from None
        yield


def _watch_folder(options: PipelineOptions, run: FolderRun, argv: list[str]) -> int:
    """Run the pipeline on what arrives in a folder, until it is interrupted."""
    runner = _runner_of(options)
    if not flink.is_flink(runner):
        raise OptionsError([f"--watch: {runner} reads no folder without an end; on one machine run `dropcast watch`"])
    options = PipelineOptions([*argv, *flink.defaults_for_endless_sources(argv)], streaming=True)
    try:
        with _alone_in(FolderOutput(run.output)):
            pipeline = beam.Pipeline(options=options)
            graph.build(pipeline, run)
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            pipeline.run().wait_until_finish()
    except KeyboardInterrupt:
        say("Interrupted. The job runs on; cancel it on the cluster.")
    return 0


def _os_error_within(text: str, place: str) -> OSError | None:
    """Return the OSError that ended a pipeline, if it was one: Beam raises it as the text of a traceback.

    Args:
        text: of the traceback.
        place: the path to report if the error has none.
    """
    raised = re.findall(r"^(?:\w+\.)*(\w+Error)(?:: (.*?))?(?: \[while running .*)?$", text, re.MULTILINE)
    kind = getattr(builtins, raised[-1][0], None) if raised else None
    if not (isinstance(kind, type) and issubclass(kind, OSError)):
        return None
    said = re.fullmatch(r"\[Errno (\d+)\] (.*?)(?:: '(.*)')?", raised[-1][1])
    return OSError(int(said[1]), said[2], said[3] or place) if said else OSError(f"{place}: {raised[-1][1]}")


def _run_between_buckets(options: PipelineOptions, run: BucketRun, argv: list[str]) -> int:
    """Run the pipeline between buckets; do not wait for a run that is submitted to a service."""
    try:
        from pipeline.cloud.prepare import prepare
    except ModuleNotFoundError as error:
        raise OptionsError(
            [f"--output: buckets need Google's clients ({error}): pip install '.[gcp]' in a clone"]
        ) from None
    prepare(run)
    runner = _runner_of(options)
    on_dataflow = runner.startswith("Dataflow")
    if on_dataflow:
        if run.kafka is not None or isinstance(run.output_topic, KafkaTopic):
            raise OptionsError(["--runner: on Dataflow, messages are of Pub/Sub (--input_subscription)"])
        _prepare_for_dataflow(options, run.limits)
    if run.streams and runner == DIRECT:
        return _run_here(run)
    options.view_as(StandardOptions).streaming = run.streams
    run = dataclasses.replace(run, pulls=run.streams and not on_dataflow and runner not in READ_BY_BEAM)
    if run.pulls and flink.is_flink(runner):
        options = PipelineOptions([*argv, *flink.defaults_for_endless_sources(argv)], streaming=True)
    pipeline = beam.Pipeline(options=options)
    graph.build(pipeline, run)
    if not run.destination.batch:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as containers are stopped
    result = pipeline.run()
    if on_dataflow:
        return 0
    try:
        result.wait_until_finish()
    except KeyboardInterrupt:
        say("Interrupted. Run `dropcast reconcile` to finish the rest.")
        return 0
    if not run.destination.batch:
        return 0
    counts = {
        found.key.metric.name: found.attempted if found.committed is None else found.committed  # Flink's has none
        for found in result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]
    }
    say(describe_counts(counts, run.destination.path))
    return exit_code_of_counts(counts)


def _run_here(run: BucketRun) -> int:
    """Work on messages in this process until a signal comes.

    Beam has no runner for one machine that acknowledges a message after the work on it and not before.
    """
    from pipeline.cloud.in_process import InProcess
    from pipeline.cloud.message_work import MessageWork
    from pipeline.cloud.output import BucketOutput
    from pipeline.intake.opened import may_pass, opened
    from pipeline.intake.pull_loop import pull_until

    logging.getLogger("pipeline").setLevel(logging.INFO)
    output = open_output(run.destination)
    assert isinstance(output, BucketOutput)
    work = MessageWork(InProcess(output, run.rules, run.limits, run.output_topic))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    source = opened(run)
    _log.info("reading messages from %s", source.name)
    left = pull_until(stop, source, lambda message: work.do(message) != "running", may_pass, GRACE)
    say(f"Stopped. {left} messages are not done; they come again." if left else "Stopped.")
    if left:
        sys.stdout.flush()
        os._exit(0)  # what is still being worked on does not look whether it is time to end
    return 0


def _prepare_for_dataflow(options: PipelineOptions, limits: Limits) -> None:
    """Let the workers run the launcher's image, with threads that suit CPU-bound work and disks for large files."""
    worker, setup = options.view_as(WorkerOptions), options.view_as(SetupOptions)
    worker.sdk_container_image = worker.sdk_container_image or os.environ.get("DROPCAST_IMAGE")
    setup.sdk_location = "container"  # it is already installed
    debug = options.view_as(DebugOptions)
    # one process per core, and a few threads in each to overlap waits on servers
    debug.number_of_worker_harness_threads = debug.number_of_worker_harness_threads or THREADS
    worker.disk_size_gb = worker.disk_size_gb or disk_gb(worker.machine_type, limits)


def disk_gb(machine_type: str | None, limits: Limits) -> int:
    """Return the size of a worker's disk in GB: each process, one per vCPU, may be reading one large file.

    If more are read at once, a full disk is an I/O error: they are read again later.

    Args:
        machine_type: such as e2-standard-2; Dataflow's own types have at most 4 vCPUs.
        limits: of a file.
    """
    vcpus = re.search(r"-(\d+)", machine_type or "")
    return DISK_GB + math.ceil(limits.max_work_bytes / 1e9) * (int(vcpus[1]) if vcpus else 4)


def _problems_with(argv: list[str]) -> list[str]:
    """Return what is wrong with the names of options.

    Dataflow's launcher passes options of its own, which this Beam need not know: with --template_location only what is
    nearly the name of one of Dropcast's options is refused, and the rest is logged and ignored, as Beam does.
    """
    unknown, known = _unknown(argv)
    if any(flink.is_flink(argument.partition("=")[2]) for argument in argv if argument.startswith("--runner=")):
        unknown, known = [argument for argument in unknown if not flink.passed_on(argument)], [*known, *flink.OPTIONS]
    if not any(argument.partition("=")[0] == "--template_location" for argument in argv):
        return unknown_options(unknown, known)
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_run_arguments(parser)
    own = [name for action in parser._actions for name in action.option_strings]
    misspelt = [argument for argument in unknown if difflib.get_close_matches(argument.partition("=")[0], own, 1, NEAR)]
    for argument in unknown:
        if argument not in misspelt:
            _log.warning("ignored, because neither Dropcast nor this version of Beam knows it: %s", argument)
    return unknown_options(misspelt, own)


def _unknown(argv: list[str]) -> tuple[list[str], list[str]]:
    """Return the arguments that neither Beam nor Dropcast knows, and the names of all options."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
    pending: list[type] = [PipelineOptions]
    while pending:
        group = pending.pop()
        pending += group.__subclasses__()
        if "_add_argparse_args" in vars(group) and group is not PipelineOptions:
            group._add_argparse_args(parser)  # type: ignore[attr-defined]
    _, unknown = parser.parse_known_args(argv)
    return unknown, [name for action in parser._actions for name in action.option_strings]
