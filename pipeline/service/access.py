"""Who may ask: keys for forecasts, and Google's tokens for pushes."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.options import OptionsError

ISSUERS = ("https://accounts.google.com", "accounts.google.com")
CERTIFICATES = "https://www.googleapis.com/oauth2/v1/certs"
KEPT_SECONDS, AGAIN_SECONDS = 3600.0, 60.0  # how long certificates are used; how soon they are asked for again
SHORTEST_KEY = 16


class Keys:
    """Keys that a caller must have one of.

    Args:
        keys: as callers send them; only their hashes are kept.
    """

    def __init__(self, keys: list[str]) -> None:
        self._hashes = [hashlib.sha256(key.encode()).digest() for key in keys]

    @classmethod
    def of_file(cls, path: str) -> Keys:
        """Return the keys in a file, one on each line; lines that begin with # are comments.

        Raises:
            OptionsError: if it cannot be read, has none, or has one that is too short.
        """
        try:
            lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise OptionsError([f"--api_keys_file: {path} cannot be read: {error}"]) from None
        keys = [line for line in lines if line and not line.startswith("#")]
        if not keys:
            raise OptionsError([f"--api_keys_file: {path} has no key"])
        if min(map(len, keys)) < SHORTEST_KEY:
            raise OptionsError([f"--api_keys_file: a key in {path} has fewer than {SHORTEST_KEY} characters"])
        return cls(keys)

    def allow(self, headers: Mapping[str, str]) -> bool:
        """Return whether a request's headers, by name in lower case, have one of the keys."""
        given = headers.get("x-api-key") or _bearer(headers)
        found = hashlib.sha256(given.encode()).digest()
        matching = [hmac.compare_digest(found, known) for known in self._hashes]  # all of them, in constant time
        return any(matching)


@dataclass
class PushTokens:
    """Verifies the tokens that Pub/Sub sends along with pushes (OpenID Connect, signed by Google).

    Attributes:
        audience: that a token must be for.
        account: e-mail address of the service account that it must be of.
        fetch: returns Google's certificates, by id.
    """

    audience: str
    account: str
    fetch: Callable[[], Mapping[str, str]]
    _certificates: Mapping[str, str] = field(default_factory=dict)
    _fetched: float = -KEPT_SECONDS
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def problem(self, headers: Mapping[str, str]) -> str:
        """Return what is wrong with a request's token; "" if nothing is.

        Raises:
            google.auth.exceptions.TransportError: if the certificates cannot be had.
        """
        from google.auth import exceptions, jwt

        token = _bearer(headers)
        if not token:
            return "there is no token"
        try:
            known = jwt.decode_header(token).get("kid", "")
            claims: Mapping[str, Any] = jwt.decode(
                token, certs=self._certificates_with(known), audience=self.audience, clock_skew_in_seconds=10
            )
        except (exceptions.GoogleAuthError, ValueError) as error:
            if isinstance(error, exceptions.TransportError):
                raise
            return f"the token is not valid: {error}"
        if claims.get("iss") not in ISSUERS:
            return "the token is not Google's"
        if claims.get("email") != self.account or claims.get("email_verified") is not True:
            return "the token is another account's"
        return ""

    def _certificates_with(self, identity: str) -> Mapping[str, str]:
        """Return the certificates, asking for them again if they are old or lack one; not for each forged token."""
        with self._lock:
            age = time.monotonic() - self._fetched
            if age > KEPT_SECONDS or (identity not in self._certificates and age > AGAIN_SECONDS):
                self._certificates, self._fetched = self.fetch(), time.monotonic()
            return self._certificates


def googles_certificates() -> Mapping[str, str]:
    """Return the certificates with which Google signs tokens, by id.

    Raises:
        google.auth.exceptions.TransportError: if they cannot be had.
    """
    import json

    from google.auth import exceptions
    from google.auth.transport.requests import Request

    answer = Request()(CERTIFICATES, method="GET", timeout=20)
    if answer.status != 200:
        raise exceptions.TransportError(f"Google's certificates: status {answer.status}")
    found: Mapping[str, str] = json.loads(answer.data)
    return found


def _bearer(headers: Mapping[str, str]) -> str:
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""
