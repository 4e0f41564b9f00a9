"""Get a Kafka broker from Maven, once; it lies in `.kafka/` at the repository's top, or where DROPCAST_KAFKA says."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.beam_workers import get_jars, need_programs
from tests.downloads import hash_of, made

HERE = Path(__file__).parent
POM = HERE / "pom.xml"


def jars() -> Path:
    """Return the folder of the broker's jars; get them if need be.

    Raises:
        Unavailable: if they cannot be had here.
    """
    need_programs("java", "mvn")
    cache = Path(os.environ.get("DROPCAST_KAFKA") or HERE.parents[1] / ".kafka").absolute()
    return made(cache, "kafka", hash_of(POM.read_bytes()), _make) / "jars"


def _make(folder: Path) -> None:
    print("Getting Kafka (once; a minute) ...", file=sys.stderr)
    get_jars(POM, folder / "jars", "Kafka")
