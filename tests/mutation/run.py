"""Count how many small faults put into the core the tests notice: `make mutation`, or

    .venv/bin/python -m tests.mutation.run --sample=20 --modules core/dates --seconds=1200

One place of one module is changed at a time, in a copy of what git tracks below `.mutation/`, and the tests that are
about the module (`paired_tests.py`) run on it until one fails. The same --seed takes the same places. Modules take
turns, so that the time that --seconds gives is shared between them. Survivors are listed: some are worth a test,
some change nothing that anybody sees.

Processes are forked from one that has imported all libraries but nothing of Dropcast, so that a mutant costs seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.paired_tests import LEFT_OUT, PAIRED

ROOT = Path(__file__).parents[2]
PLACE = ROOT / ".mutation"
COPY = PLACE / "copy"
LIBRARIES = (
    "numpy", "pandas", "pyarrow.compute", "pyarrow.csv", "numba", "duckdb", "apache_beam", "hypothesis", "pytest",
)  # fmt: skip
KILLED, SURVIVED, TIMEOUT = "killed", "survived", "timeout"


@dataclass(frozen=True)
class Tried:
    """What became of one mutant."""

    module: str
    line: int
    change: str
    verdict: str
    by: str  # the test that failed
    seconds: float


class _Quiet:
    """Examples are the same in each run, are not kept, and are not made smaller: that they fail is enough."""

    def pytest_collection(self) -> None:
        from hypothesis import Phase, settings

        settings.register_profile(
            "mutation", settings(), derandomize=True, database=None, phases=(Phase.explicit, Phase.generate)
        )
        settings.load_profile("mutation")


def main() -> int:
    """Run what the arguments ask for, and return whether enough was killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=20, help="mutants of each module (default: 20; 0: all)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (default: 1)")
    parser.add_argument("--seconds", type=float, default=3600, help="start none after this time (default: 3600)")
    parser.add_argument("--modules", nargs="*", default=[""], help="those whose path below pipeline/ begins with it")
    parser.add_argument("--at-least", type=float, default=0, help="fail if fewer percent are killed (default: 0)")
    parser.add_argument("--json", type=Path, help="write what became of each to this file, a line each")
    parser.add_argument("--again", type=Path, help="only those that survived according to this file")
    asked = parser.parse_args()
    modules = [module for module in PAIRED if module.startswith(tuple(asked.modules))]
    if not modules:
        parser.error(f"no module is paired with tests and called {' or '.join(asked.modules)}")
    all_chosen = [(module, chosen(module, asked.sample, asked.seed)) for module in modules]
    if asked.again:
        before = [json.loads(line) for line in asked.again.read_text().splitlines()]
        left = {(one["module"], one["line"], one["change"]) for one in before if one["verdict"] == SURVIVED}
        all_chosen = [(module, [m for m in ms if (module, m.line, m.change) in left]) for module, ms in all_chosen]
        all_chosen = [(module, mutants) for module, mutants in all_chosen if mutants]
    end = time.monotonic() + asked.seconds
    _make_copy()
    _become_the_copys()
    usual = _usual_seconds([module for module, _ in all_chosen])
    tried: list[Tried] = []
    for module, mutant in _in_turns(all_chosen):
        if time.monotonic() > end:
            break
        one = _try(module, mutant, 20 + 3 * sum(usual[test] for test in PAIRED[module]))
        tried.append(one)
        print(f"{one.verdict:8} {one.seconds:5.1f} s  {module}:{one.line}  {one.change}  {one.by}", flush=True)
        if asked.json:
            asked.json.write_text("".join(json.dumps(asdict(each)) + "\n" for each in tried))
    share = _report(tried, sum(len(mutants) for _, mutants in all_chosen))
    return int(share < asked.at_least)


def chosen(module: str, sample: int, seed: int) -> list[Mutant]:
    """Return the mutants of a module that a seed takes."""
    mutants = mutants_of((ROOT / "pipeline" / module).read_bytes())
    random.Random(f"{seed} {module}").shuffle(mutants)
    return mutants[: sample or None]


def _in_turns(all_chosen: list[tuple[str, list[Mutant]]]) -> Iterator[tuple[str, Mutant]]:
    for turn in range(max((len(mutants) for _, mutants in all_chosen), default=0)):
        yield from ((module, mutants[turn]) for module, mutants in all_chosen if turn < len(mutants))


def _make_copy() -> None:
    """Bring the copy to the state of the working tree; what was compiled for it stays, for the next run."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    names = {name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()}
    for path in [path for path in COPY.rglob("*") if path.is_file() and "__pycache__" not in path.parts]:
        if str(path.relative_to(COPY)) not in names:
            path.unlink()
    for name in sorted(names):
        (COPY / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, COPY / name)


def _become_the_copys() -> None:
    """Let this process, and those forked from it, find Dropcast in the copy only."""
    assert not any(name.partition(".")[0] == "pipeline" for name in sys.modules), "nothing of it may be imported yet"
    os.chdir(COPY)
    sys.path[:] = [str(COPY), *(path for path in sys.path if path not in ("", str(ROOT)))]
    os.environ["PYTHONPATH"] = str(COPY)
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    for name in LIBRARIES:
        importlib.import_module(name)


def _usual_seconds(modules: list[str]) -> dict[str, float]:
    """Return how long each file of tests takes; without a fault they must pass."""
    usual = {}
    for test in dict.fromkeys(test for module in modules for test in PAIRED[module]):
        code, usual[test] = _run((test,), 900)
        if code != 0:
            print(_log().read_text())
            raise SystemExit(f"Without a fault, {test} does not pass.")
        print(f"{usual[test]:5.1f} s without a fault: {test}", flush=True)
    return usual


def _try(module: str, mutant: Mutant, limit: float) -> Tried:
    path = COPY / "pipeline" / module
    original, times = path.read_bytes(), path.stat()
    kernels = set((COPY / "pipeline").rglob("kernels-*"))
    try:
        path.write_bytes(mutant.source)
        # A file's time is how Python knows its compiled form: no two mutants, nor the original, may share one.
        os.utime(path, (time.time(), times.st_mtime + random.randrange(10, 10**8)))
        code, seconds = _run(PAIRED[module], limit)
    finally:
        path.write_bytes(original)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        for folder in set((COPY / "pipeline").rglob("kernels-*")) - kernels:
            shutil.rmtree(folder)
    verdict = SURVIVED if code == 0 else TIMEOUT if code is None else KILLED
    failed = [line.split()[1] for line in _log().read_text(errors="replace").splitlines() if line.startswith("FAILED ")]
    return Tried(module, mutant.line, mutant.change, verdict, failed[-1] if failed else "", round(seconds, 1))


def _log() -> Path:
    return PLACE / "last.log"


def _run(tests: tuple[str, ...], limit: float) -> tuple[int | None, float]:
    """Run tests in a child until one fails; return its exit code, or none if it took too long, and its seconds."""
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        _be_the_child(tests)
    code = None
    while time.monotonic() < start + limit:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            break
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # with what it has started
    if code is None:
        os.waitpid(child, 0)
    return code, time.monotonic() - start


def _be_the_child(tests: tuple[str, ...]) -> None:
    code = 70
    try:
        os.setpgid(0, 0)
        log = os.open(_log(), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(log, stream)
        import pytest

        options = ["-x", "-q", "--tb=line", "-rf", "-p", "no:cacheprovider", f"--basetemp={PLACE / 'files'}"]
        options += ["-m", "not long and not cloud and not browser and not terraform"]
        options += [f"--deselect={name}" for name in LEFT_OUT]
        code = int(pytest.main([*options, *tests], plugins=[_Quiet()]))
        place = getattr(sys.modules.get("pipeline"), "__file__", None)
        assert place is None or Path(place).is_relative_to(COPY), f"the tests ran on {place}"
    except BaseException as error:  # noqa: BLE001 - whatever it is, this process is at its end
        print(repr(error))
        code = code or 71
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _report(tried: list[Tried], wanted: int) -> float:
    print("\nmodule                              tried  killed  timeout  survived")
    for module in PAIRED:
        counts = Counter(one.verdict for one in tried if one.module == module)
        if counts:
            print(f"{module:36}{counts.total():5}{counts[KILLED]:8}{counts[TIMEOUT]:9}{counts[SURVIVED]:10}")
    total = Counter(one.verdict for one in tried)
    share = 100 * (total[KILLED] + total[TIMEOUT]) / max(1, total.total())
    print(f"{'all':36}{total.total():5}{total[KILLED]:8}{total[TIMEOUT]:9}{total[SURVIVED]:10}")
    print(f"{share:.1f} % of {total.total()} were noticed; there was no time for {wanted - total.total()} more")
    for one in tried:
        if one.verdict == SURVIVED:
            print(f"  survived: {one.module}:{one.line}  {one.change}")
    return share


if __name__ == "__main__":
    sys.exit(main())
