"""Get what a Flink cluster is made of, once: Flink from PyPI, Beam's runner from Maven, Beam's boot program from Go.

It lies in `.flink/` at the repository's top, or where DROPCAST_FLINK says.
"""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from tests.beam_workers import BOOT, get_boot_program, get_jars, need_programs
from tests.downloads import hash_of, made, run

HERE = Path(__file__).parent
POM, REQUIREMENTS = HERE / "pom.xml", HERE / "requirements.txt"
PARTS_OF_FLINK = ("/deps/lib/flink-dist", "/deps/lib/log4j")
_SIGNATURES = (".SF", ".RSA", ".DSA")
_DATE = (2020, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Parts:
    """What a cluster is made of.

    Attributes:
        flink: folder with Flink's jars.
        job_server: jar by which a pipeline is submitted, and which it runs with.
        boot: program that starts a Python worker.
    """

    flink: Path
    job_server: Path
    boot: Path


def parts() -> Parts:
    """Return what a cluster is made of; get it if need be.

    Raises:
        Unavailable: if it cannot be had here.
    """
    need_programs()
    cache = Path(os.environ.get("DROPCAST_FLINK") or HERE.parents[1] / ".flink").absolute()
    key = hash_of(POM.read_bytes(), REQUIREMENTS.read_bytes(), BOOT.encode(), Path(__file__).read_bytes())
    folder = made(cache, "flink", key, _make)
    return Parts(folder / "flink", folder / "job-server.jar", folder / "boot" / "container")


def _make(folder: Path) -> None:
    print("Getting Flink and Beam's runner for it (once; five minutes) ...", file=sys.stderr)
    _get_flink(folder)
    libraries = folder / "libraries"
    get_jars(POM, libraries, "Beam's runner for Flink")
    jars = [jar for jar in sorted(libraries.glob("*.jar")) if not jar.name.startswith("slf4j-api-")]
    merge(jars, folder / "job-server.jar")
    shutil.rmtree(libraries)
    get_boot_program(folder / "boot")


def _get_flink(folder: Path) -> None:
    downloads = folder / "downloads"
    run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "--no-deps", "--require-hashes",
         "-r", str(REQUIREMENTS), "-d", str(downloads)],
        "Flink cannot be had; pip said",
    )  # fmt: skip
    (archive,) = downloads.glob("*.tar.gz")
    (folder / "flink").mkdir()
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and any(part in member.name for part in PARTS_OF_FLINK):
                source = tar.extractfile(member)
                assert source is not None
                with source, (folder / "flink" / Path(member.name).name).open("wb") as target:
                    shutil.copyfileobj(source, target)
    shutil.rmtree(downloads)


def merge(jars: list[Path], target: Path) -> None:
    """Write one jar with the content of several: of a file that several have, the first's; all of their services."""
    services: OrderedDict[str, list[str]] = OrderedDict()
    known: set[str] = set()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as merged:
        for jar in jars:
            with zipfile.ZipFile(jar) as source:
                for name in source.namelist():
                    if name.endswith("/") or _is_of_one_jar(name):
                        continue
                    if name.startswith("META-INF/services/"):
                        lines = source.read(name).decode().splitlines()
                        named = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
                        services.setdefault(name, []).extend(named)
                    elif name not in known:
                        known.add(name)
                        merged.writestr(zipfile.ZipInfo(name, _DATE), source.read(name), zipfile.ZIP_DEFLATED)
        for name, lines in services.items():
            merged.writestr(zipfile.ZipInfo(name, _DATE), "\n".join(dict.fromkeys(lines)) + "\n")


def _is_of_one_jar(name: str) -> bool:
    upper = name.upper()
    signed = upper.startswith("META-INF/") and upper.endswith(_SIGNATURES)
    return signed or upper in ("META-INF/MANIFEST.MF", "META-INF/INDEX.LIST") or name.endswith("module-info.class")
