"""A watched bucket: objects without a receipt are forecast in this process, pass by pass."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.cloud.in_process import InProcess
from pipeline.cloud.objects import matching
from pipeline.cloud.output import BucketOutput
from pipeline.core.elements import DeadLetter
from pipeline.core.limits import Limits
from pipeline.core.outputs.summary import RunOutcome
from pipeline.core.requests.messages import ObjectVersion, Rules, message_of
from pipeline.core.watching import Pass


class WatchedBucket:
    """Forecasts what is new, pass by pass.

    Args:
        inbox: gs://bucket/prefix/.
        output: where the forecasts go.
        rules: what may be read, and how it is forecast.
        limits: the operator's limits.
        tell: called with the result of each object.
    """

    def __init__(
        self, inbox: str, output: BucketOutput, rules: Rules, limits: Limits, tell: Callable[[RunOutcome], None]
    ) -> None:
        self._inbox, self._work, self._tell = inbox, InProcess(output, rules, limits), tell
        self._seen: set[ObjectVersion] = set()

    def step(self, now: float) -> Pass:
        """Forecast what has no receipt; objects appear complete, so there is no need to wait until they settle."""
        there = list(matching(self._inbox))
        self._seen &= set(there)
        new = [version for version in there if version not in self._seen]
        done = 0
        for version in new:
            done += self._deal_with(version)
            self._seen.add(version)
        return Pass(done)

    def _deal_with(self, version: ObjectVersion) -> bool:
        """Forecast or refuse an object; return whether there was anything to do."""
        asked = self._work.asked(message_of(version))
        if asked is None:
            return False
        outcome = self._work.refuse(asked) if isinstance(asked, DeadLetter) else self._work.forecast(asked)
        if outcome is not None:
            self._tell(outcome)
        return outcome is not None and bool(outcome.receipts)
