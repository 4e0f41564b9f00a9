"""Files that arrive in a folder: each is given out until the ledger has what became of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import launch
from pipeline.core.elements import DeadLetter, Request
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.process_request import process
from pipeline.folder import arrivals as module
from pipeline.folder.arrivals import AGAIN, SETTLE, Arrivals
from pipeline.folder.output import FolderOutput
from pipeline.options import OptionsError
from pipeline.runs import FolderRun, run_from
from tests.conftest import daily_series


class Watched:
    """A folder, what arrives in it, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.inbox, self.output, self.now = folder / "in", folder / "out", 0.0
        self.inbox.mkdir()
        self.output.mkdir()
        self.start()

    def start(self) -> None:
        self.arrivals = Arrivals(FolderRun((), self.output, ForecastSpec(), Limits(), (self.inbox,), inbox=self.inbox))

    def drop(self, name: str, seed: int = 0) -> None:
        (self.inbox / name).write_text(daily_series(60, seed=seed))

    def look(self) -> list[Request | DeadLetter]:
        """Look twice, as files settle between two looks, and return all that is given out."""
        first = self.arrivals.new(self.now)
        self.now += SETTLE
        return [*first, *self.arrivals.new(self.now)]

    def names(self) -> list[str]:
        return [Path(one.source).name for one in self.look()]

    def do(self, request: Request | DeadLetter) -> None:
        output = FolderOutput(self.output)
        if isinstance(request, DeadLetter):
            output.write_stray_dead_letter(request)
        else:
            process(request, Limits(), output)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_a_file_is_given_out_once_it_has_settled_and_until_it_is_done(watched: Watched) -> None:
    watched.drop("a.csv")
    assert watched.arrivals.new(watched.now) == []  # it may still be written to
    (asked,) = watched.look()
    assert isinstance(asked, Request)
    assert (Path(asked.source).name, asked.output) == ("a.csv", "a.csv")
    assert watched.look() == []
    assert watched.arrivals.given == 1
    watched.do(asked)
    assert watched.look() == []
    assert watched.arrivals.given == 0

    watched.drop("a.csv", seed=1)
    (again,) = watched.look()
    assert isinstance(again, Request)
    assert again.version != asked.version


def test_a_process_that_starts_anew_gives_out_what_has_no_receipt(watched: Watched) -> None:
    for name in ("a.csv", "b.csv"):
        watched.drop(name)
    a, b = watched.look()
    watched.do(a)
    watched.start()
    assert watched.look() == [b]


def test_what_has_no_result_for_long_is_given_out_again(watched: Watched) -> None:
    watched.drop("a.csv")
    (asked,) = watched.look()
    watched.now += AGAIN - SETTLE - 1
    assert watched.look() == []
    watched.now += 2
    assert watched.look() == [asked]


def test_what_could_not_be_handed_over_is_given_out_again(watched: Watched) -> None:
    watched.drop("a.csv")
    (asked,) = watched.look()
    watched.arrivals.take_back(asked)
    assert watched.look() == [asked]


def test_no_more_than_a_window_of_files_is_given_out(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW", 2)
    for name in ("a.csv", "b.csv", "c.csv"):
        watched.drop(name)
    a, _ = watched.look()
    assert watched.arrivals.given == 2
    watched.do(a)
    assert watched.names() == ["c.csv"]


def test_manifests_and_what_is_wrong_with_them(watched: Watched) -> None:
    watched.drop("a.csv")
    (watched.inbox / "a.manifest.json").write_text(json.dumps({"input": "a.csv", "output": "x.csv", "horizon": 5}))
    (watched.inbox / "bad.manifest.json").write_text("{")
    watched.drop("x.csv")
    of_manifest, bad, taken = watched.look()
    assert isinstance(of_manifest, Request)
    assert (Path(of_manifest.source).name, of_manifest.output, of_manifest.parsed_spec.horizon) == ("a.csv", "x.csv", 5)
    assert isinstance(bad, DeadLetter)
    assert isinstance(taken, DeadLetter)
    assert (bad.code, taken.code) == ("BAD_MANIFEST", "OUTPUT_TAKEN")
    for one in (of_manifest, bad, taken):
        watched.do(one)
    assert watched.look() == []
    watched.start()
    assert watched.look() == []


def test_a_file_that_is_removed_is_forgotten(watched: Watched) -> None:
    watched.drop("a.csv")
    assert watched.names() == ["a.csv"]
    (watched.inbox / "a.csv").unlink()
    assert watched.look() == []
    assert watched.arrivals.given == 0
    watched.drop("a.csv")
    assert watched.names() == ["a.csv"]


@pytest.mark.parametrize(
    ("options", "inbox", "expected"),
    [
        ({}, "none", "--input: {root}/none is not a folder"),
        ({"output": "{root}/in/out"}, "in", "--output: forecasts in {root}/in/out would be read again"),
        ({"output": "{root}"}, "in", "--input: {root}/in is inside {root}"),
        ({"output": "gs://acme/f"}, "gs://acme/in", "--watch: is for folders"),
    ],
)
def test_what_cannot_be_watched_is_refused(tmp_path: Path, options: dict[str, str], inbox: str, expected: str) -> None:
    (tmp_path / "in").mkdir()
    given = {"output": "{root}/out", "watch": "true", **options}
    arguments = {name: value.format(root=tmp_path) for name, value in given.items()}
    with pytest.raises(OptionsError) as refused:
        run_from(arguments, [inbox if "://" in inbox else str(tmp_path / inbox)])
    assert any(line.startswith(expected.format(root=tmp_path)) for line in refused.value.lines), refused.value


def test_beams_runner_of_one_machine_refuses_to_watch(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(OptionsError, match="dropcast watch"):
        launch.run([f"--input={tmp_path}/in", "--watch=true", f"--output={tmp_path}/out", "--runner=DirectRunner"])


def test_an_error_on_the_way_keeps_no_file_from_being_given_out(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.csv", "b.csv"):
        watched.drop(name)
    real, asked = module.is_settled, []

    def fails(*arguments: object) -> bool:
        asked.append(arguments)
        if len(asked) == 2:
            raise OSError("the disk is away")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "is_settled", fails)
    with pytest.raises(OSError, match="away"):
        watched.look()
    assert sorted(watched.names()) == ["a.csv", "b.csv"]
