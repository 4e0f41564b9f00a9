"""Get a Kafka broker from Maven, once; it lies in `.kafka/` at the repository's top, or where DROPCAST_KAFKA says."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from tests.downloads import Unavailable, hash_of, made, run

HERE = Path(__file__).parent
POM = HERE / "pom.xml"


def jars() -> Path:
    """Return the folder of the broker's jars; get them if need be.

    Raises:
        Unavailable: if they cannot be had here.
    """
    for program, why in (("java", "Java 17"), ("mvn", "Maven")):
        if shutil.which(program) is None:
            raise Unavailable(f"{why} is needed for a Kafka broker")
    cache = Path(os.environ.get("DROPCAST_KAFKA") or HERE.parents[1] / ".kafka").absolute()
    return made(cache, "kafka", hash_of(POM.read_bytes()), _make) / "jars"


def _make(folder: Path) -> None:
    print("Getting Kafka (once; a minute) ...", file=sys.stderr)
    run(
        ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", "-DincludeScope=runtime",
         f"-DoutputDirectory={folder / 'jars'}"],
        "Kafka cannot be had; Maven said",
    )  # fmt: skip
