"""Who may push: tokens signed by Google, with a key of our own in Google's place."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from google.auth import crypt, exceptions, jwt

from pipeline import cli
from pipeline.options import OptionsError
from pipeline.service import access
from pipeline.service.access import Keys, PushTokens

AUDIENCE, ACCOUNT = "https://dropcast.example/", "pusher@acme.iam.gserviceaccount.com"


class Google:
    """Signs tokens."""

    def __init__(self) -> None:
        self.fetched = 0
        self.keys = {"one": rsa.generate_private_key(65537, 2048)}

    def certificates(self) -> dict[str, str]:
        self.fetched += 1
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "google")])
        now = dt.datetime.now(dt.UTC)
        found = {}
        for identity, key in self.keys.items():
            certificate = (
                x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
                .serial_number(1).not_valid_before(now - dt.timedelta(1)).not_valid_after(now + dt.timedelta(1))
                .sign(key, hashes.SHA256())
            )  # fmt: skip
            found[identity] = certificate.public_bytes(serialization.Encoding.PEM).decode()
        return found

    def token(self, identity: str = "one", key: Any = None, **claims: Any) -> str:
        private = (key or self.keys[identity]).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        now = int(time.time())
        stated = {"iss": "https://accounts.google.com", "aud": AUDIENCE, "email": ACCOUNT, "email_verified": True,
                  "iat": now, "exp": now + 3600, **claims}  # fmt: skip
        signer = crypt.RSASigner.from_string(private, key_id=identity)
        return jwt.encode(signer, stated).decode()


@pytest.fixture
def google() -> Google:
    return Google()


@pytest.fixture
def tokens(google: Google) -> PushTokens:
    return PushTokens(AUDIENCE, ACCOUNT, google.certificates)


def sent(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_a_token_of_the_account_for_the_service_is_taken(google: Google, tokens: PushTokens) -> None:
    assert tokens.problem(sent(google.token())) == ""
    assert tokens.problem(sent(google.token(iss="accounts.google.com"))) == ""
    assert google.fetched == 1, "certificates are kept"


@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        ({"aud": "https://another.example/"}, "not valid"), ({"exp": 1, "iat": 0}, "not valid"),
        ({"iss": "https://accounts.example"}, "not Google's"), ({"email": "x@y.z"}, "another account's"),
        ({"email_verified": False}, "another account's"), ({"email_verified": "true"}, "another account's"),
        ({"email": None}, "another account's"),
    ],
)  # fmt: skip
def test_other_tokens_are_refused(google: Google, tokens: PushTokens, claims: dict[str, Any], problem: str) -> None:
    assert problem in tokens.problem(sent(google.token(**claims)))


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", "Bearer a.b.c", "Basic eDp5", "Bearer \ud800"])
def test_what_is_no_token_is_refused(tokens: PushTokens, header: str) -> None:
    assert tokens.problem({"authorization": header})
    assert tokens.problem({})


def test_a_forged_token_is_refused_and_does_not_ask_google_again_and_again(google: Google, tokens: PushTokens) -> None:
    forged = Google()
    assert tokens.problem(sent(google.token())) == ""
    for identity in ("one", "two", "three"):
        assert "not valid" in tokens.problem(sent(forged.token(identity, forged.keys["one"])))
    assert google.fetched == 1


def test_new_certificates_are_asked_for(google: Google, tokens: PushTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tokens.problem(sent(google.token())) == ""
    google.keys["two"] = rsa.generate_private_key(65537, 2048)
    monkeypatch.setattr(access, "AGAIN_SECONDS", -1.0)
    assert tokens.problem(sent(google.token("two"))) == ""
    assert google.fetched == 2


def test_without_certificates_nothing_is_decided(google: Google) -> None:
    def none() -> dict[str, str]:
        raise exceptions.TransportError("no network")

    with pytest.raises(exceptions.TransportError):
        PushTokens(AUDIENCE, ACCOUNT, none).problem(sent(google.token()))


@pytest.mark.parametrize(
    ("content", "problem"), [("", "no key"), ("# a comment\n", "no key"), ("short\n", "fewer than 16")]
)
def test_files_of_keys_that_are_none(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "keys").write_text(content)
    with pytest.raises(OptionsError, match=problem):
        Keys.of_file(f"{tmp_path}/keys")
    with pytest.raises(OptionsError, match="cannot be read"):
        Keys.of_file(f"{tmp_path}/absent")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--host=0.0.0.0"], "--api_keys_file"), (["--host=::"], "--api_keys_file"),
        (["--host=0.0.0.0", "--output=gs://o/f", "--api_keys_file=x"], "--push_audience"),
        (["--push_account=a@b", "--output=gs://o/f"], "each needs the other"),
        (["--push_account=a@b", "--push_audience=c"], "only with --output"),
    ],
)  # fmt: skip
def test_doors_are_open_on_this_machine_only(
    options: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["serve", *options]) == 2
    assert problem in capsys.readouterr().err
