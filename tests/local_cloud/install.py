"""Build the servers of the local cloud, once.

They lie in `.local-cloud/` at the repository's top (or where DROPCAST_LOCAL_CLOUD says), in folders named after a hash
of what they are made of: when that changes they are made anew. Any number of processes may ask at the same time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
SERVER = HERE / "server"
REQUIREMENTS = HERE / "requirements-bigquery.txt"


class Unavailable(Exception):  # noqa: N818  (it is no fault of the program's)
    """The local cloud cannot be had on this machine; the message says why."""


def cache_folder() -> Path:
    """Return the folder that holds what was built."""
    return Path(os.environ.get("DROPCAST_LOCAL_CLOUD") or HERE.parents[1] / ".local-cloud").absolute()


def storage_and_pubsub() -> Path:
    """Return the program that is Cloud Storage and Pub/Sub; build it if need be."""
    sources = sorted([*SERVER.glob("*.go"), SERVER / "go.mod", SERVER / "go.sum"])
    return _made("server", _hash(*(path.read_bytes() for path in sources)), _build_server) / "local-cloud"


def bigquery_python() -> Path:
    """Return the Python that has the BigQuery emulator; install it if need be."""
    key = _hash(REQUIREMENTS.read_bytes(), platform.python_version().encode(), sys.base_prefix.encode())
    return _made("bigquery", key, _install_bigquery) / "venv" / "bin" / "python"


def bigquery_home() -> Path:
    """Return what is to be the emulator's home folder, where its engine looks for extensions."""
    return bigquery_python().parents[2] / "home"


def _hash(*contents: bytes) -> str:
    total = hashlib.sha256()
    for content in contents:
        total.update(hashlib.sha256(content).digest())
    return total.hexdigest()[:12]


def _made(name: str, key: str, make: Callable[[Path], None]) -> Path:
    """Return the folder of this name and key; let it be made if it isn't there or wasn't finished."""
    folder = cache_folder() / f"{name}-{key}"
    finished = folder / "finished"
    if finished.exists():
        return folder
    with _lock(name):
        if not finished.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            make(folder)
            finished.touch()
    return folder


@contextmanager
def _lock(name: str) -> Iterator[None]:
    path = cache_folder() / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build_server(folder: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise Unavailable("Go 1.26 or newer is needed to build the local cloud's servers (https://go.dev/dl/)")
    print("Building Cloud Storage and Pub/Sub for this machine (once; two minutes) ...", file=sys.stderr)
    _run(
        [go, "build", "-trimpath", "-buildvcs=false", "-o", str(folder / "local-cloud"), "."],
        "Go 1.26 or newer is needed, and access to its modules; `go build` said",
        cwd=SERVER,
        env={**os.environ, "CGO_ENABLED": "0"},
    )


def _install_bigquery(folder: Path) -> None:
    print("Installing the BigQuery emulator (once; a minute) ...", file=sys.stderr)
    venv.create(folder / "venv", with_pip=True)
    python = str(folder / "venv" / "bin" / "python")
    _run(
        [
            python,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "install",
            "-q",
            "--require-hashes",
            "-r",
            str(REQUIREMENTS),
        ],
        "The BigQuery emulator cannot be installed; pip said",
    )
    home = folder / "home"
    home.mkdir()
    _run(
        [python, "-c", "from duckdb_extensions import import_extension; import_extension('spatial')"],
        "The BigQuery emulator's engine cannot be completed",
        env={**os.environ, "HOME": str(home)},
    )


def _run(command: list[str], complaint: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{complaint}:\n{(done.stdout + done.stderr)[-2000:]}")
