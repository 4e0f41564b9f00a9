"""Retries of calls to servers: with jittered backoff, up to a deadline; after that the runner retries."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import requests.exceptions
import urllib3.exceptions
from google.api_core import exceptions
from google.api_core.retry import Retry
from google.auth.exceptions import TransportError
from google.cloud.storage.exceptions import InvalidResponse

_log = logging.getLogger(__name__)

DEADLINE = 300.0  # seconds for one call, its retries included
CALL = 60.0  # seconds for one try
_TRANSIENT = (
    exceptions.TooManyRequests, exceptions.InternalServerError, exceptions.BadGateway, exceptions.ServiceUnavailable,
    exceptions.GatewayTimeout, exceptions.RetryError, exceptions.Aborted, exceptions.DeadlineExceeded,
    requests.exceptions.ConnectionError, requests.exceptions.Timeout, requests.exceptions.ChunkedEncodingError,
    ConnectionError, TimeoutError, TransportError, urllib3.exceptions.HTTPError,
)  # fmt: skip
_QUOTA = {"rateLimitExceeded", "jobRateLimitExceeded", "quotaExceeded"}
_STATUSES = (408, 429, 500, 502, 503, 504)

_listeners: list[Callable[[], None]] = []


def on_retry(listener: Callable[[], None]) -> None:
    """Register a function to call for each retry, in the thread that waits."""
    if listener not in _listeners:
        _listeners.append(listener)


def is_transient(error: BaseException) -> bool:
    """Return whether a call that failed with this error may succeed if it is repeated."""
    if isinstance(error, _TRANSIENT):
        return True
    if isinstance(error, InvalidResponse):  # of a download or an upload
        return error.response.status_code in _STATUSES
    if isinstance(error, exceptions.Forbidden):  # BigQuery also answers 403 to what is only too much at once
        return bool({detail.get("reason") for detail in error.errors or () if isinstance(detail, dict)} & _QUOTA)
    return isinstance(error, exceptions.GoogleAPICallError) and error.code in _STATUSES


def _tell(error: Exception) -> None:
    _log.info("retrying: %s", error)
    for listener in _listeners:
        listener()


def retrying(also: tuple[type[Exception], ...] = ()) -> Retry:
    """Return the policy for retries.

    Args:
        also: other errors that are only temporary.
    """

    def passes(error: Exception) -> bool:
        return is_transient(error) or isinstance(error, also)

    return Retry(
        predicate=passes, initial=0.2, maximum=20.0, multiplier=2.0, timeout=DEADLINE, on_error=_tell
    )  # Retry draws each wait at random, up to the current bound


def again(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call a function that may safely be called twice, until it succeeds or the deadline has passed."""
    return retrying()(function)(*arguments, **named)
