from __future__ import annotations

import pytest
import requests
import urllib3.exceptions
from google.api_core import exceptions
from google.cloud.storage.exceptions import InvalidResponse

from pipeline.cloud.retry import is_transient


def answer(status: int) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    return response


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_a_server_says_when_it_is_not_well_passes(status: int) -> None:
    assert is_transient(exceptions.from_http_status(status, "no"))
    assert is_transient(InvalidResponse(answer(status)))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412])
def test_what_is_refused_stays_refused(status: int) -> None:
    assert not is_transient(exceptions.from_http_status(status, "no"))
    assert not is_transient(InvalidResponse(answer(status)))


@pytest.mark.parametrize(
    ("reason", "passes"),
    [("rateLimitExceeded", True), ("quotaExceeded", True), ("jobRateLimitExceeded", True), ("accessDenied", False)],
)
def test_what_is_too_much_at_once_passes_though_it_is_called_forbidden(reason: str, passes: bool) -> None:
    errors = [{"reason": reason, "message": "no"}]
    assert is_transient(exceptions.from_http_status(403, "no", errors=errors)) is passes


def test_a_broken_line_passes() -> None:
    for error in (
        ConnectionResetError(),
        TimeoutError(),
        requests.ConnectionError(),
        urllib3.exceptions.ProtocolError(),
    ):
        assert is_transient(error)
    assert not is_transient(ValueError())
