"""What servers in Java are made with, and how a cluster starts Beam's Python workers in this environment."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

from tests.downloads import Unavailable, run

BOOT = f"github.com/apache/beam/sdks/v2/python/container@v{version('apache-beam')}"
PROGRAMS = {"java": "Java 17", "mvn": "Maven", "go": "Go 1.26 or newer"}
# What Flink and Spark need of Java 17's own packages.
OPENED = (
    "--add-exports=java.base/sun.net.util=ALL-UNNAMED", "--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED",
    "--add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
    *(f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in (
        "lang", "net", "io", "nio", "lang.reflect", "text", "time", "util", "util.concurrent",
        "util.concurrent.atomic", "util.concurrent.locks")),
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
)  # fmt: skip


def need_programs(*names: str) -> None:
    """Do nothing if the programs that a server is made with are there, by default all of a cluster.

    Raises:
        Unavailable: if one is not.
    """
    for name in names or PROGRAMS:
        if shutil.which(name) is None:
            raise Unavailable(f"{PROGRAMS[name]} is needed")


def get_jars(pom: Path, folder: Path, what: str) -> None:
    """Get the jars that a pom.xml names.

    Raises:
        Unavailable: if they cannot be had here.
    """
    run(
        ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", "-DincludeScope=runtime",
         f"-DoutputDirectory={folder}"],
        f"{what} cannot be had; Maven said",
    )  # fmt: skip


def get_boot_program(folder: Path) -> None:
    """Build Beam's boot program, `container`, in a folder.

    Raises:
        Unavailable: if it cannot be had here.
    """
    run(
        [str(shutil.which("go")), "install", BOOT],
        "Beam's boot program cannot be had; `go install` said",
        env={**os.environ, "GOBIN": str(folder), "CGO_ENABLED": "0", "GOFLAGS": "-modcacherw"},
    )


def write_boot_script(path: Path, program: Path) -> Path:
    """Write a script that starts a worker with this environment's Python, and return it."""
    path.write_text(
        f'#!/bin/sh\nexport PATH="{Path(sys.executable).parent}:$PATH"\n'
        f'export RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1\nexec "{program}" "$@"\n'
    )
    path.chmod(0o755)
    return path
