"""Options of Beam's runner for Flink that only its Java part declares: Python passes them on."""

from __future__ import annotations

from collections.abc import Sequence

# of Beam's org.apache.beam.runners.flink.FlinkPipelineOptions
OPTIONS = tuple(f"--{name}" for name in (
    "allow_non_restored_state", "attached_mode", "auto_watermark_interval", "checkpoint_timeout_millis",
    "checkpointing_interval", "checkpointing_mode", "disable_metrics", "enable_stable_input_drain",
    "execution_retry_delay", "externalized_checkpoints_enabled", "fail_on_checkpointing_errors", "faster_copy",
    "finish_bundle_before_checkpointing", "flink_conf_dir", "force_unaligned_checkpoint_enabled",
    "latency_tracking_interval", "max_bundle_size", "max_bundle_time_mills", "min_pause_between_checkpoints",
    "num_concurrent_checkpoints", "number_of_execution_retries", "object_reuse", "operator_chaining",
    "retain_externalized_checkpoints_on_cancellation", "savepoint_path", "shutdown_sources_after_idle_ms",
    "state_backend", "state_backend_storage_path", "tolerable_checkpoint_failure_number",
    "unaligned_checkpoint_enabled", "use_data_stream_for_batch",
))  # fmt: skip
_DEFAULTS = {"--finish_bundle_before_checkpointing": "true", "--checkpointing_interval": "10000"}


def is_flink(runner: str) -> bool:
    """Return whether a runner's name is that of Flink's."""
    return runner.startswith("Flink")


def passed_on(argument: str) -> bool:
    """Return whether an argument is an option of Flink's runner."""
    return argument.partition("=")[0] in OPTIONS


def defaults_for_endless_sources(argv: Sequence[str]) -> list[str]:
    """Return options for a job that reads messages or watches a folder, unless they are given.

    Without the first a splittable DoFn without an end does not start in half of all starts, and says nothing.
    """
    given = {argument.partition("=")[0] for argument in argv}
    return [f"{name}={value}" for name, value in _DEFAULTS.items() if name not in given]
