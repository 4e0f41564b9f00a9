"""Google's clients look into the environment once, not at each call."""

from __future__ import annotations

import pytest

from pipeline.cloud import clients


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")


def test_without_proxies_the_environment_is_not_asked_again() -> None:
    session = clients.storage_client()._http
    assert not session.trust_env
    assert session.verify is True


def test_certificates_that_the_environment_names_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURL_CA_BUNDLE", "/etc/other.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/own.pem")
    session = clients.storage_client()._http
    assert not session.trust_env
    assert session.verify == "/etc/own.pem"


def test_with_a_proxy_the_library_asks_the_environment_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    assert clients.storage_client()._http.trust_env
