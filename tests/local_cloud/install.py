"""Build the servers of the local cloud, once.

They lie in `.local-cloud/` at the repository's top, or where DROPCAST_LOCAL_CLOUD says.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import venv
from pathlib import Path

from tests.downloads import Unavailable, hash_of, made, run

HERE = Path(__file__).parent
SERVER = HERE / "server"
REQUIREMENTS = HERE / "requirements-bigquery.txt"


def cache_folder() -> Path:
    """Return the folder that holds what was built."""
    return Path(os.environ.get("DROPCAST_LOCAL_CLOUD") or HERE.parents[1] / ".local-cloud").absolute()


def storage_and_pubsub() -> Path:
    """Return the program that is Cloud Storage and Pub/Sub; build it if need be."""
    sources = sorted([*SERVER.glob("*.go"), SERVER / "go.mod", SERVER / "go.sum"])
    key = hash_of(*(path.read_bytes() for path in sources))
    return made(cache_folder(), "server", key, _build_server) / "local-cloud"


def bigquery_python() -> Path:
    """Return the Python that has the BigQuery emulator; install it if need be."""
    key = hash_of(REQUIREMENTS.read_bytes(), platform.python_version().encode(), sys.base_prefix.encode())
    return made(cache_folder(), "bigquery", key, _install_bigquery) / "venv" / "bin" / "python"


def bigquery_home() -> Path:
    """Return what is to be the emulator's home folder, where its engine looks for extensions."""
    return bigquery_python().parents[2] / "home"


def _build_server(folder: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise Unavailable("Go 1.26 or newer is needed to build the local cloud's servers (https://go.dev/dl/)")
    print("Building Cloud Storage and Pub/Sub for this machine (once; two minutes) ...", file=sys.stderr)
    run(
        [go, "build", "-trimpath", "-buildvcs=false", "-o", str(folder / "local-cloud"), "."],
        "Go 1.26 or newer is needed, and access to its modules; `go build` said",
        cwd=SERVER,
        env={**os.environ, "CGO_ENABLED": "0"},
    )


def _install_bigquery(folder: Path) -> None:
    print("Installing the BigQuery emulator (once; a minute) ...", file=sys.stderr)
    venv.create(folder / "venv", with_pip=True)
    python = str(folder / "venv" / "bin" / "python")
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    failed = "The BigQuery emulator cannot be installed; pip said"
    run([*pip, "install", "-q", "--require-hashes", "--no-deps", "-r", str(REQUIREMENTS)], failed)
    run([*pip, "check"], failed)
    home = folder / "home"
    home.mkdir()
    run(
        [python, "-c", "from duckdb_extensions import import_extension; import_extension('spatial')"],
        "The BigQuery emulator's engine cannot be completed",
        env={**os.environ, "HOME": str(home)},
    )
