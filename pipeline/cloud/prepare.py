"""Checks before a run between buckets starts, so that all problems are reported at once."""

from __future__ import annotations

import logging

from google.api_core import exceptions
from google.cloud import pubsub_v1

from pipeline.cloud import objects, tables
from pipeline.cloud.bigquery_input import live_table
from pipeline.cloud.clients import publisher, storage_client
from pipeline.core.errors import RecordError
from pipeline.core.requests.bigquery_sources import is_table
from pipeline.core.requests.uris import folder_prefix, split_uri
from pipeline.kafka_topic import KafkaTopic, Topic
from pipeline.options import OptionsError
from pipeline.runs import BucketRun

_log = logging.getLogger(__name__)


def prepare(run: BucketRun) -> None:
    """Look at buckets, subscription and tables; make tables that are absent.

    Raises:
        OptionsError: with a line for each thing that is wrong.
    """
    destination = run.destination
    problems = _bucket_problems(destination.path)
    for pattern in run.objects:
        if is_table(pattern):
            problems += _table_problems(pattern)
        elif split_uri(pattern)[0] != split_uri(destination.path)[0]:
            problems += _bucket_problems(pattern.split("*")[0], "input")
    if isinstance(run.output_topic, KafkaTopic):
        problems += _kafka_problems(run.output_topic, "output_topic")
    elif run.output_topic:
        problems += _topic_problems(run.output_topic)
    if run.kafka is not None:
        problems += _kafka_problems(run.kafka, "input_kafka")
        if run.kafka == run.output_topic:
            problems.append(f"--output_topic: {run.kafka} is the topic that this pipeline reads from; choose another")
    if not problems and run.subscription:
        problems += _loop_problems(destination.path, run.subscription, run.output_topic)
    if not problems and destination.dataset:
        problems += tables.Tables(destination.dataset).prepare(run.expiration_days)
    if problems:
        raise OptionsError(problems)


def _table_problems(source: str) -> list[str]:
    try:
        return [] if live_table(source) is not None else [f"--input: there is no table {source}"]
    except RecordError as error:
        return [f"--input: {error.message} {error.hint}"]


def _topic_problems(topic: str) -> list[str]:
    try:
        publisher().get_topic(topic=topic, timeout=60)
    except exceptions.NotFound:
        return [f"--output_topic: topic {topic} does not exist"]
    except exceptions.PermissionDenied:
        _log.warning("no permission to look at %s: whether it exists was not checked", topic)
    return []


def _kafka_problems(topic: KafkaTopic, option: str) -> list[str]:
    try:
        from confluent_kafka import KafkaException

        from pipeline.cloud.kafka import partitions_of
    except ModuleNotFoundError as error:
        return [f"--{option}: Kafka needs its client: pip install '.[kafka]' in a clone ({error})"]
    try:
        partitions_of(topic)
    except KafkaException as error:
        return [f"--{option}: {topic}: {error.args[0].str()}"]
    except exceptions.RetryError as error:
        return [f"--{option}: {topic}: {error.cause}"]
    except (OSError, ValueError) as error:
        return [f"--kafka_properties: {topic.properties}: {error}"]
    return []


def _bucket_problems(path: str, option: str = "output") -> list[str]:
    bucket, prefix = split_uri(path)
    try:
        next(objects.listed(bucket, prefix), None)
    except exceptions.NotFound:
        return [f"--{option}: bucket {bucket} does not exist"]
    except exceptions.Forbidden:
        return [f"--{option}: no permission to list {path}; grant Storage Object User on the bucket {bucket}"]
    return []


def _loop_problems(output: str, subscription: str, output_topic: Topic = "") -> list[str]:
    """Return a line if notifications of the output would go to the subscription's own topic."""
    bucket, prefix = split_uri(folder_prefix(output))
    try:
        with pubsub_v1.SubscriberClient() as client:
            topic = client.get_subscription(subscription=subscription, timeout=60).topic
            if topic == output_topic:
                return [f"--output_topic: {topic} is the topic that this pipeline reads from; choose another"]
    except exceptions.NotFound:
        return [f"--input_subscription: subscription {subscription} does not exist"]
    except exceptions.PermissionDenied:
        _log.warning("no permission to look at %s: whether the output feeds it was not checked", subscription)
        return []
    try:
        notifications = list(storage_client().bucket(bucket).list_notifications(**objects.OPTIONS))
    except exceptions.Forbidden:
        _log.warning("no permission to list notifications of %s: whether they feed the input was not checked", bucket)
        return []
    for notification in notifications:
        own = f"projects/{notification.topic_project}/topics/{notification.topic_name}"
        filtered = notification.blob_name_prefix or ""
        if own == topic and (prefix.startswith(filtered) or filtered.startswith(prefix)):
            return [
                f"--output: notifications of objects below {output} go to {topic}, from which this pipeline reads; "
                "restrict the notification to the inputs' prefix, or choose another output"
            ]
    return []
