"""Get Spark, Beam's runner for it and Beam's boot program, once, into `.spark/` or where DROPCAST_SPARK says."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.beam_workers import BOOT, get_boot_program, get_jars, need_programs
from tests.downloads import hash_of, made

HERE = Path(__file__).parent
POM = HERE / "pom.xml"


@dataclass(frozen=True)
class Parts:
    """What Spark is made of.

    Attributes:
        jars: folder with Spark's jars and the runner's.
        boot: program that starts a Python worker.
    """

    jars: Path
    boot: Path


def parts() -> Parts:
    """Return what Spark is made of; get it if need be.

    Raises:
        Unavailable: if it cannot be had here.
    """
    need_programs()
    cache = Path(os.environ.get("DROPCAST_SPARK") or HERE.parents[1] / ".spark").absolute()
    folder = made(cache, "spark", hash_of(POM.read_bytes(), BOOT.encode()), _make)
    return Parts(folder / "jars", folder / "boot" / "container")


def _make(folder: Path) -> None:
    print("Getting Spark and Beam's runner for it (once; three minutes) ...", file=sys.stderr)
    get_jars(POM, folder / "jars", "Beam's runner for Spark")
    get_boot_program(folder / "boot")
