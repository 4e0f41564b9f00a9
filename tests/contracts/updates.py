"""Whether a release may update a running streaming job: what Dataflow holds against the job's own graph.

`released/VERSION.json` is the snapshot of the graph as it was released, the last of which decides.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RELEASED = Path(__file__).parent / "released"


def reasons_to_drain(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return why a streaming job with the graph `before` cannot be updated to `after`; empty if it can.

    Args:
        before: snapshot of the graph that runs, as generated.py makes it.
        after: that of the graph to come.
    """
    old, new = before["streaming"], after["streaming"]
    reasons = [f"step {step} is gone" for step in old["steps"] if step not in new["steps"]]
    for step, ids in old["state"].items():
        reasons += [f"state {name} of {step} is gone" for name in ids if name not in new["state"].get(step, ())]
    for coder in old["coders"]:
        if coder not in new["coders"]:
            reasons.append(f"{coder} is gone")
        elif before["fields"][coder] != after["fields"][coder]:
            reasons.append(f"{coder} writes other fields")
    return reasons


def verdict(snapshot: dict[str, Any]) -> str:
    """Return the line of the changelog that says what to do with a running job."""
    released = sorted(RELEASED.glob("*.json"), key=lambda path: [int(part) for part in path.stem.split(".")])
    if not released:
        return "Running jobs: none before this release."
    reasons = reasons_to_drain(json.loads(released[-1].read_text()), snapshot)
    if not reasons:
        return f"Running jobs: update in place from {released[-1].stem}."
    return f"Running jobs: drain, then start anew ({reasons[0]})."
