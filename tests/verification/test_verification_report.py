"""What a verification writes down."""

from __future__ import annotations

import json
from pathlib import Path

from verification.report import Report, StepResult


def report(*steps: StepResult) -> Report:
    return Report(
        "acme-data", "europe-west1", "dropcast-verify", "0.1.0", "0.1.1", "the local package 0.1.0, commit c0ffee",
        "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z", {"buckets": ["acme-data-dropcast-verify-uploads"]}, list(steps),
    )  # fmt: skip


PASSED = StepResult("setup", "Create everything", "passed", 1.25, {"compared": "the outputs", "resources": 71})
FAILED = StepResult(
    "bytes",
    "Compare each forecast",
    "failed",
    expected="the same bytes",
    seen="line 3: '1.5'",
    look_at="docs/engine.md",
)
SKIPPED = StepResult("kill", "Delete the worker's VM", "skipped", reason="no --kill-workers")


def test_the_json_has_everything(tmp_path: Path) -> None:
    report(PASSED, FAILED, SKIPPED).write(tmp_path / "new")
    read = json.loads((tmp_path / "new/verification.json").read_text())
    assert (read["project"], read["version"], read["update_to"], read["started"]) == (
        "acme-data", "0.1.0", "0.1.1", "2026-01-01T00:00:00Z",
    )  # fmt: skip
    assert read["passed"] is False
    assert [step["status"] for step in read["steps"]] == ["passed", "failed", "skipped"]
    assert read["steps"][0]["found"]["resources"] == 71
    assert read["steps"][1]["expected"] == "the same bytes"


def test_the_markdown_says_what_failed_and_where_to_look() -> None:
    text = report(PASSED, FAILED, SKIPPED).to_markdown()
    assert "**Failed.**" in text
    assert "| setup: Create everything | passed | 1.2 | the outputs |" in text
    assert "| kill: Delete the worker's VM | skipped | 0.0 | no --kill-workers |" in text
    assert "## bytes failed\n\n- Expected: the same bytes\n- Seen: line 3: '1.5'\n- Look at: docs/engine.md" in text
    assert "- resources: 71" in text
    assert "- buckets: acme-data-dropcast-verify-uploads" in text


def test_it_passes_if_something_ran_and_nothing_failed() -> None:
    assert report(PASSED, SKIPPED).passed
    assert not report(PASSED, FAILED).passed
    assert not report(SKIPPED).passed
    assert not report().passed


def test_text_from_elsewhere_stays_text() -> None:
    seen = "a | b\n\n# heading <script> `code` [link](https://example.com)"
    text = report(StepResult("x", "X", "failed", expected="y", seen=seen, look_at="z")).to_markdown()
    assert "\n# heading" not in text
    assert r"a \| b # heading \<script\> \`code\` [link\](https://example.com)" in text


def test_no_credential_is_written() -> None:
    secrets = (
        "ya29.a0AfB_byC-secret", "Authorization: Bearer abc.def-ghi", '"refresh_token": "1//0secret"',
        "-----BEGIN PRIVATE KEY-----\nMIIEsecret\n-----END PRIVATE KEY-----",
    )  # fmt: skip
    failed = StepResult("x", "X", "failed", expected="y", seen="; ".join(secrets), look_at="z")
    for written in (report(failed).to_json(), report(failed).to_markdown()):
        assert "secret" not in written
        assert "abc.def" not in written
        assert "[removed]" in written
