"""What a verification found, as JSON and as Markdown."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Status = Literal["passed", "failed", "skipped"]
MAX_CELL = 300  # characters of a text in the table of steps
_SECRETS = re.compile(
    r"ya29\.[\w.-]+"
    r"|(?i:bearer)\s+[\w.~+/-]+=*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?<=\")(?:private_key|private_key_id|refresh_token|access_token|id_token|client_secret)\"\s*:\s*\"[^\"]*",
    re.DOTALL,
)


class Failed(Exception):  # noqa: N818 - it is what becomes of a step
    """A step found something other than what it expected.

    Attributes:
        expected: what should have been seen.
        seen: what was seen.
        look_at: where to look for the cause: a document and its chapter.
    """

    def __init__(self, expected: str, seen: str, look_at: str) -> None:
        super().__init__(f"expected {expected}; saw {seen}")
        self.expected, self.seen, self.look_at = expected, seen, look_at


@dataclass
class StepResult:
    """What became of one step.

    Attributes:
        name: of the step.
        title: what it does.
        status: passed, failed or skipped.
        seconds: how long it took.
        found: what was compared, and numbers.
        expected, seen, look_at: of a failure.
        reason: why it was skipped.
    """

    name: str
    title: str
    status: Status
    seconds: float = 0.0
    found: dict[str, Any] = field(default_factory=dict)
    expected: str = ""
    seen: str = ""
    look_at: str = ""
    reason: str = ""


@dataclass
class Report:
    """One verification.

    Attributes:
        project, region, name: what was verified: an installation of this name in this project.
        version: the release.
        update_to: the release to which the job was updated; "" for none.
        local: version and commit of the package that made the forecasts for comparison.
        started, finished: RFC 3339 in UTC.
        resources: what was created, by kind.
        steps: in order.
    """

    project: str
    region: str
    name: str
    version: str
    update_to: str
    local: str
    started: str
    finished: str = ""
    resources: dict[str, list[str]] = field(default_factory=dict)
    steps: list[StepResult] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether all steps that ran have passed, and any did."""
        statuses = {step.status for step in self.steps}
        return "passed" in statuses and "failed" not in statuses

    def to_json(self) -> str:
        """Return the report as JSON, without anything that looks like a credential."""
        content = {"passed": self.passed, **dataclasses.asdict(self)}
        return json.dumps(_without_secrets_inside(content), indent=2, default=str) + "\n"

    def to_markdown(self) -> str:
        """Return the report for a person, without anything that looks like a credential."""
        update = f", updated to {self.update_to}" if self.update_to else ""
        lines = [
            f"# Verification of {self.name} {self.version} in {self.project}",
            "",
            f"**{'Passed' if self.passed else 'Failed'}.** Region {self.region}, version {self.version}{update}. "
            f"From {self.started} to {self.finished}. Compared with {self.local}.",
            "",
            "| step | result | seconds | what was compared |",
            "| --- | --- | --- | --- |",
        ]
        lines += [
            f"| {step.name}: {_cell(step.title)} | {step.status} | {step.seconds:.1f} | "
            f"{_cell(str(step.found.get('compared', '')) or step.reason)} |"
            for step in self.steps
        ]
        for step in self.steps:
            numbers = {name: value for name, value in step.found.items() if name != "compared"}
            if step.status == "failed":
                lines += ["", f"## {step.name} failed", "", f"- Expected: {_cell(step.expected)}"]
                lines += [f"- Seen: {_cell(step.seen, 4 * MAX_CELL)}", f"- Look at: {step.look_at}"]
            elif numbers:
                lines += ["", f"## {step.name}", ""]
                lines += [f"- {name.replace('_', ' ')}: {_cell(_told(value), 4 * MAX_CELL)}"
                          for name, value in numbers.items()]  # fmt: skip
        lines += ["", "## Created resources", ""]
        lines += [f"- {kind}: {', '.join(map(_cell, names))}" for kind, names in self.resources.items()]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> None:
        """Write verification.json and verification.md into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "verification.json").write_text(self.to_json())
        (folder / "verification.md").write_text(self.to_markdown())


def without_secrets(text: str) -> str:
    """Return a text in which what looks like a credential is replaced."""
    return _SECRETS.sub("[removed]", text)


def _without_secrets_inside(value: Any) -> Any:
    """Return a value without secrets in any of its texts: before it is encoded, which would hide some of them."""
    if isinstance(value, dict):
        return {name: _without_secrets_inside(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets_inside(inner) for inner in value]
    return without_secrets(value) if isinstance(value, str) else value


def _told(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _cell(text: str, most: int = MAX_CELL) -> str:
    """Return a text from elsewhere as one line that cannot become Markdown of its own."""
    line = " ".join(without_secrets(text).split())
    line = line if len(line) <= most else f"{line[:most]} ..."
    return re.sub(r"([|<>`]|\](?=[(\[]))", r"\\\1", line)
