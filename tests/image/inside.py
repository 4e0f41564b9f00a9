"""What must hold in the image; build.sh runs this there, from standard input, with no network."""

from __future__ import annotations

import csv
import datetime
import importlib.metadata
import importlib.util
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path("/opt/dropcast")
PACKAGES = ROOT / "lib/python3.11/site-packages"
SCRATCH = Path(tempfile.mkdtemp())


def run(*command: str, expected: int = 0, user: int | None = None, **environment: str) -> tuple[str, float]:
    """Run a command in a fresh process; return what it printed, and its seconds."""
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=SCRATCH, env={**os.environ, **environment}, user=user, capture_output=True, text=True
    )
    seconds = time.monotonic() - began
    assert done.returncode == expected, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout, seconds


def told(what: str, seconds: float) -> None:
    print(f"{seconds:6.1f} s  {what}", flush=True)


def files_below(folder: Path) -> dict[Path, float]:
    return {path: path.stat().st_mtime for path in folder.rglob("*") if path.is_file()}


def series(rows: int = 200, horizon: int = 14) -> Path:
    path = SCRATCH / "sales.csv"
    lines = [
        f"{datetime.date(2024, 1, 1) + datetime.timedelta(day)},{10 + day / 100 + math.sin(day / 7 * 2 * math.pi):.3f}"
        for day in range(rows)
    ]
    path.write_text("\n".join(["ds,y", *lines]) + "\n")
    return path


def check_forecast(folder: Path, horizon: int = 14) -> None:
    """The series is a line and a week's wave: 14 days ahead it must be met closely."""
    with (folder / "sales.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == horizon, rows
    for row in rows:
        day = (datetime.date.fromisoformat(row["date"]) - datetime.date(2024, 1, 1)).days
        assert abs(float(row["prediction"]) - (10 + day / 100 + math.sin(day / 7 * 2 * math.pi))) < 0.1, row


before = files_below(ROOT)

print("- environment")
assert os.environ["DROPCAST_IMAGE"] == os.environ["DROPCAST_IMAGE_EXPECTED"]
assert os.environ["RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT"] == "1"
assert os.environ["NUMBA_CPU_NAME"] == "x86-64-v2"
assert os.environ["PYTHONUNBUFFERED"] == "1"
assert not [name for name in os.environ if re.match("FLEX_TEMPLATE_PYTHON_(REQUIREMENTS|SETUP)_FILE", name)]
assert sys.prefix == str(ROOT), sys.prefix
for program in ("/opt/apache/beam/boot", "/opt/google/dataflow/python_template_launcher"):
    assert os.access(program, os.X_OK), program

print("- nothing is left over")
for program in ("gcc", "cc", "g++", "c++", "clang", "make", "git", "curl"):
    assert not shutil.which(program), program
for folder in (Path("/src"), Path("/etc/pip.conf"), Path.home() / ".cache", Path.home() / ".config"):
    assert not folder.exists(), folder
assert not [path for path in Path("/tmp").iterdir() if path != SCRATCH]
assert not [path for path in PACKAGES.rglob("tests") if path.is_dir()]
found, _ = run("find", "/", "-xdev", "-path", "*/pipeline/cli.py")  # -xdev: not in /proc, which changes meanwhile
assert found.split() == [str(PACKAGES / "pipeline/cli.py")], found
assert {path.name for path in Path("/template").iterdir()} == {"flex_main.py"}

print("- byte code is there, and goes by no file's time")
compiled = {path for path in before if path.suffix == ".pyc"}
assert all(path.read_bytes()[4:8] == b"\1\0\0\0" for path in compiled), "not --invalidation-mode=unchecked-hash"
missing = {path for path in before if path.suffix == ".py" and not list(path.parent.glob(f"__pycache__/{path.stem}.*"))}
assert len(missing) < 20, sorted(missing)  # some packages bring templates that are no Python
print(f"  {len(compiled)} files; none for {len(missing)}")

print("- commands")
told("pip check", run("pip", "check")[1])
told("pip freeze, as Beam's launch does", run("python", "-m", "pip", "freeze")[1])
version = importlib.metadata.version("dropcast")
text, seconds = run("dropcast", "--version")
assert text == f"dropcast {version}\n", text
told("dropcast --version", seconds)
assert "Drop a CSV" in run("dropcast", "--help")[0]
text, seconds = run("python", os.environ["FLEX_TEMPLATE_PYTHON_PY_FILE"], "--help")
assert "--input_subscription" in text
told("flex_main.py --help", seconds)
for kind in ("streaming", "batch"):
    spec = json.loads(
        run("python", "-P", "-m", "pipeline.flex_template", f"--kind={kind}", "--image=acme/dropcast:0.1.0")[0]
    )
    assert spec["image"] == spec["defaultEnvironment"]["sdkContainerImage"] == "acme/dropcast:0.1.0"

print("- imports of launcher and worker")
told("import apache_beam", run("python", "-c", "import apache_beam")[1])
modules = (
    "apache_beam.runners.dataflow.dataflow_runner",
    "apache_beam.runners.dataflow.internal.apiclient",
    "apache_beam.runners.worker.sdk_worker_main",
    "apache_beam.io.gcp.gcsio",
    "pipeline.launch",
    *(f"pipeline.cloud.{path.stem}" for path in sorted((PACKAGES / "pipeline/cloud").glob("[a-z]*.py"))),
)
told("all that follows", run("python", "-c", f"import {', '.join(modules)}")[1])

print("- forecasts, each in a fresh process")
source = series()
ahead = "--horizon=14"
text, seconds = run("dropcast", "forecast", str(source), ahead, f"--output={SCRATCH / 'a'}", NUMBA_DEBUG_CACHE="1")
loaded, saved = text.count("[cache] data loaded"), text.count("[cache] data saved")
assert loaded, "no kernel was read: " + text
assert not saved, f"{saved} kernels were compiled at start"
check_forecast(SCRATCH / "a")
told(f"dropcast forecast ({loaded} kernels read, none compiled)", seconds)
for growth, options in (("flat", ()), ("logistic", ("--cap=20",))):
    text, seconds = run(
        "dropcast", "forecast", str(source), ahead, f"--growth={growth}", *options, "--level=80,95",
        f"--output={SCRATCH / growth}", NUMBA_DEBUG_CACHE="1",
    )  # fmt: skip
    assert "[cache] data loaded" in text
    assert "[cache] data saved" not in text, f"kernels were compiled for growth={growth}"
    told(f"dropcast forecast --growth={growth}", seconds)
_, seconds = run("dropcast", "forecast", str(source), ahead, "--engine=stan", f"--output={SCRATCH / 'b'}")
check_forecast(SCRATCH / "b")
told("dropcast forecast --engine=stan", seconds)
_, seconds = run(
    "python", "-m", "pipeline.main", "--runner=DirectRunner", f"--input={source}", ahead, f"--output={SCRATCH / 'c'}"
)
check_forecast(SCRATCH / "c")
told("python -m pipeline.main --runner=DirectRunner", seconds)
assert (SCRATCH / "a/sales.csv").read_bytes() == (SCRATCH / "c/sales.csv").read_bytes()
_, seconds = run("dropcast", "plot", str(source), str(SCRATCH / "a/sales.csv"), f"--save={SCRATCH / 'sales.png'}")
assert (SCRATCH / "sales.png").read_bytes().startswith(b"\x89PNG")
told("dropcast plot", seconds)
new = {path for path, at in files_below(ROOT).items() if before.get(path) != at}
assert not new, f"was written at start: {sorted(new)[:20]}"

print("- as another user than root, which Dataflow never is")
SCRATCH.chmod(0o777)
text, seconds = run(
    "dropcast", "forecast", str(source), ahead, f"--output={SCRATCH / 'd'}", user=65534, NUMBA_DEBUG_CACHE="1"
)
check_forecast(SCRATCH / "d")
told(f"dropcast forecast ({'kernels read' if '[cache] data loaded' in text else 'kernels compiled anew'})", seconds)

print("- largest packages, MB")
sizes: dict[str, int] = {}
for distribution in importlib.metadata.distributions():
    files = {Path(str(file.locate())) for file in distribution.files or ()}
    files |= {Path(importlib.util.cache_from_source(path)) for path in files if path.suffix == ".py"}
    sizes[distribution.name] = sum(path.stat().st_size for path in files if path.exists())
for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:15]:
    print(f"{size / 1e6:8.1f}  {name}")
print(f"{sum(sizes.values()) / 1e6:8.1f}  in {len(sizes)} packages")
print(f"{sum(path.stat().st_size for path in before if not path.is_symlink()) / 1e6:8.1f}  in {ROOT}")
kernels = sum(path.stat().st_size for path in before if "kernels-" in str(path))
print(f"{kernels / 1e6:8.1f}  of these the compiled kernels")
shutil.rmtree(SCRATCH)
