"""From a run to the source of its messages."""

from __future__ import annotations

from pipeline.cloud.retry import is_transient
from pipeline.intake.source import Source
from pipeline.intake.subscription import Subscription
from pipeline.runs import BucketRun


def opened(run: BucketRun, partition: int | None = None) -> Source:
    """Return the source of a run's messages.

    Args:
        run: the run.
        partition: of its topic of Kafka, if others read the other ones.
    """
    if run.kafka is None:
        return Subscription(run.subscription)
    from pipeline.intake.kafka import KafkaMessages  # needs the extra `kafka`

    return KafkaMessages(run.kafka, partition)


def may_pass(error: BaseException) -> bool:
    """Return whether an error of a pull may pass: of Kafka's all that its client does not call fatal."""
    if is_transient(error):
        return True
    fatal = getattr(error.args[0], "fatal", None) if error.args else None
    return fatal is not None and not fatal()
