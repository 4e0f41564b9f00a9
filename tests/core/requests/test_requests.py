from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.requests.local_files import UNREAD, InputFile, list_inputs, request_for
from pipeline.core.requests.names import checked_output_name, fixed_part, output_name
from pipeline.options import OptionsError
from pipeline.runs import FolderRun

WriteCsv = Callable[..., Path]


def listed(*patterns: Path, output: Path) -> tuple[list[str], list[str]]:
    files, problems = list_inputs([str(pattern) for pattern in patterns], output)
    return [file.output for file in files], problems


def test_a_forecast_is_named_after_its_path_below_the_fixed_part(tmp_path: Path, write_csv: WriteCsv) -> None:
    for name in ("in/a.csv", "in/north/b.csv", "in/north/deep/c.csv.gz"):
        write_csv(name)
    assert listed(tmp_path / "in/**/*.csv*", output=tmp_path / "out")[0] == [
        "a.csv",
        "north/b.csv",
        "north/deep/c.csv.gz",
    ]
    assert listed(tmp_path / "in/*/b.csv", output=tmp_path / "out")[0] == ["north/b.csv"]
    assert listed(tmp_path / "in/north/b.csv", output=tmp_path / "out")[0] == ["b.csv"]


def test_the_forecast_of_a_parquet_file_is_a_csv(tmp_path: Path, write_csv: WriteCsv) -> None:
    write_csv("in/north/b.parquet")
    write_csv("in/x.manifest.json", '{"input": "north/b.parquet"}')
    assert listed(tmp_path / "in/**/*.parquet", output=tmp_path / "out")[0] == ["north/b.parquet.csv"]
    manifest = InputFile(f"{tmp_path}/in/x.manifest.json", "x.manifest.json", named=True)
    assert request_for(manifest, ForecastSpec(), [tmp_path / "in"]).output == "b.parquet.csv"


def test_a_name_with_wildcards_in_it_is_itself(tmp_path: Path, write_csv: WriteCsv) -> None:
    path = write_csv("in/sales [2024]*.csv")
    assert fixed_part(str(path)) == tmp_path / "in"
    assert listed(path, output=tmp_path / "out") == (["sales [2024]*.csv"], [])


def test_two_inputs_with_one_output_are_refused_at_the_start(tmp_path: Path, write_csv: WriteCsv) -> None:
    write_csv("a/x.csv")
    write_csv("b/x.csv")
    _, problems = listed(tmp_path / "a/x.csv", tmp_path / "b/x.csv", output=tmp_path / "out")
    assert len(problems) == 1
    assert "both be forecast to x.csv" in problems[0]


def test_two_manifests_with_one_output_are_refused_at_the_start(tmp_path: Path, write_csv: WriteCsv) -> None:
    for name in ("a", "b"):
        write_csv(f"in/{name}.csv")
        manifest(write_csv, f"in/{name}.manifest.json", input=f"{name}.csv", output="same.csv")
    write_csv("in/c.csv")
    manifest(write_csv, "in/d.manifest.json", input="c.csv", output="same.csv/below.csv")
    _, problems = listed(tmp_path / "in/*", output=tmp_path / "out")
    assert sum("both be forecast to same.csv" in problem for problem in problems) == 1
    assert sum("would be below same.csv" in problem for problem in problems) == 1


def test_a_manifest_through_a_link_claims_its_csv(tmp_path: Path, write_csv: WriteCsv) -> None:
    write_csv("in/sales.csv")
    manifest(write_csv, input="sales.csv")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    assert listed(tmp_path / "link/*", output=tmp_path / "out")[0] == ["job.manifest.json"]


def test_a_folder_with_wildcards_in_its_name_stands_for_itself(tmp_path: Path, write_csv: WriteCsv) -> None:
    write_csv("in [1]/sub/x.csv")
    assert listed(tmp_path / "in [1]/*/*.csv", output=tmp_path / "out") == (["sub/x.csv"], [])


@pytest.mark.parametrize("name", ["x" * 300, "loop"])
def test_a_path_that_cannot_even_be_looked_at_fails_as_a_file_that_is_gone(name: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    files, problems = list_inputs([str(tmp_path / name)], tmp_path / "out")
    assert (len(files), problems) == (1, [])
    assert request_for(files[0], ForecastSpec(), []).version == UNREAD


@pytest.mark.parametrize(("pattern", "output"), [("in/*.csv", "in"), ("in/**/*.csv", "in/out"), ("in/x.csv", "in")])
def test_an_output_that_feeds_the_input_is_refused(
    pattern: str, output: str, make_settings: Callable[..., FolderRun], write_csv: WriteCsv
) -> None:
    write_csv("in/x.csv")
    with pytest.raises(OptionsError, match="would be read as inputs"):
        make_settings(pattern, output=output)


def test_an_output_below_the_input_that_the_pattern_does_not_reach_is_fine(
    make_settings: Callable[..., FolderRun], write_csv: WriteCsv
) -> None:
    write_csv("in/x.csv")
    assert len(make_settings("in/*.csv", output="in/forecasts").files) == 1


def test_what_lies_in_internal_folders_is_no_input(tmp_path: Path, write_csv: WriteCsv) -> None:
    write_csv("in/_dropcast/work/x.csv")
    write_csv("in/y.csv")
    assert listed(tmp_path / "in/**/*.csv", output=tmp_path / "out")[0] == ["y.csv"]


def test_nothing_to_forecast_and_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert "no file matches" in listed(tmp_path / "in/*.csv", output=tmp_path / "out")[1][0]
    assert "is a folder" in listed(tmp_path / "in", output=tmp_path / "out")[1][0]


@pytest.mark.parametrize("name", ["../x.csv", "/x.csv", "a/../../x.csv", "_dropcast/x.csv", "", "a\0b", "a\udcff"])
def test_an_output_outside_the_output_folder_is_refused(name: str) -> None:
    with pytest.raises(RecordError, match="not a valid name below"):
        checked_output_name(name)


def test_a_name_may_be_as_long_as_a_file_system_and_a_bucket_allow() -> None:
    longest = "/".join(["ü" * 100] * 5) + "/" + "x" * 19
    assert len(longest.encode()) == 1024
    assert checked_output_name(longest) == longest
    for name in (longest + "x", "x" * 201, f"a/{'x' * 201}/b"):
        with pytest.raises(RecordError, match="not a valid name below"):
            checked_output_name(name)
    assert checked_output_name("x" * 200) == "x" * 200


def manifest(write_csv: WriteCsv, name: str = "in/job.manifest.json", **fields: object) -> InputFile:
    path = write_csv(name, json.dumps(fields))
    return InputFile(str(path), output_name(path, str(path)))


def test_a_manifest_says_what_to_forecast_and_how(tmp_path: Path, write_csv: WriteCsv) -> None:
    source = write_csv("in/sales.csv")
    file = manifest(write_csv, id="job 7", input="sales.csv", output="north/q3.csv", horizon=7, level=[80, 95])
    request = request_for(file, ForecastSpec(horizon=99, growth="flat"), [tmp_path / "in"])
    assert (request.source, request.output, request.id) == (str(source), "north/q3.csv", "job 7")
    # the operator's options hold where the manifest says nothing
    assert ForecastSpec.from_json(request.spec) == ForecastSpec(horizon=7, level=(80, 95), growth="flat")


def test_a_manifest_may_set_an_option_back_to_its_default(tmp_path: Path, write_csv: WriteCsv) -> None:
    write_csv("in/sales.csv")
    request = request_for(manifest(write_csv, input="sales.csv", horizon=28), ForecastSpec(horizon=9), [tmp_path])
    assert request.spec == "{}"


def test_a_csv_that_a_manifest_names_is_left_to_it(tmp_path: Path, write_csv: WriteCsv) -> None:
    write_csv("in/sales.csv")
    manifest(write_csv, input="sales.csv", horizon=7)
    assert listed(tmp_path / "in/*", output=tmp_path / "out")[0] == ["job.manifest.json"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"input": "sales.csv", "horizn": 7}, "BAD_MANIFEST"),
        ({"input": "sales.csv", "horizon": 0}, "BAD_MANIFEST"),
        ({"horizon": 7}, "BAD_MANIFEST"),
        ({"input": 5}, "BAD_MANIFEST"),
        ({"input": "sales.csv", "level": {"a": 1}}, "BAD_MANIFEST"),
        ({"input": "../outside.csv"}, "PATH_NOT_ALLOWED"),
        ({"input": "/etc/passwd"}, "PATH_NOT_ALLOWED"),
        ({"input": "link.csv"}, "PATH_NOT_ALLOWED"),
        ({"input": "sales.csv", "output": "../x.csv"}, "PATH_NOT_ALLOWED"),
        ({"input": "sales.csv", "output": "x" * 300}, "PATH_NOT_ALLOWED"),
        ({"input": "sales\0.csv"}, "BAD_MANIFEST"),
        ({"input": "job.manifest.json"}, "BAD_MANIFEST"),
    ],
)
def test_a_bad_manifest_is_refused_with_its_reason(
    fields: dict[str, object], code: str, tmp_path: Path, write_csv: WriteCsv
) -> None:
    write_csv("in/sales.csv")
    (tmp_path / "in/link.csv").symlink_to(write_csv("outside.csv"))
    with pytest.raises(RecordError) as refusal:
        request_for(manifest(write_csv, **fields), ForecastSpec(), [tmp_path / "in"])
    assert refusal.value.code == code


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", "null", '"x"', "\x00", '{"input": "sales.csv"} x', "[" * 100_000, '{"input": "a", "input": "b"}'],
)
def test_a_manifest_that_is_no_json_object_is_refused(text: str, tmp_path: Path, write_csv: WriteCsv) -> None:
    path = write_csv("in/job.manifest.json", text)
    with pytest.raises(RecordError) as refusal:
        request_for(InputFile(str(path), "job"), ForecastSpec(), [tmp_path])
    assert refusal.value.code == "BAD_MANIFEST"


def test_a_request_follows_the_content_of_its_file_alone(tmp_path: Path, write_csv: WriteCsv) -> None:
    path = write_csv()
    file = InputFile(str(path), "sales.csv")
    first = request_for(file, ForecastSpec(), [])
    os.utime(path, (1, 1))
    assert request_for(file, ForecastSpec(), []).key == first.key
    path.write_text(path.read_text() + "2025-01-01,5\n")
    assert request_for(file, ForecastSpec(), []).key != first.key


def test_a_file_that_is_gone_is_a_request_that_will_fail(tmp_path: Path) -> None:
    request = request_for(InputFile(str(tmp_path / "gone.csv"), "gone.csv"), ForecastSpec(), [])
    assert request.version == UNREAD
