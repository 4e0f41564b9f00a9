from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pipeline.cloud.joined_inserts import REQUEST_BYTES, ROWS_A_REQUEST, JoinedInserts, inserts_into


class Table:
    """Takes rows; the first request waits until `go` is set."""

    def __init__(self, fail: str = "") -> None:
        self.requests: list[list[str]] = []
        self.begun, self.go = threading.Event(), threading.Event()
        self._fail = fail

    def send(self, records: Sequence[dict[str, Any]], ids: Sequence[str]) -> dict[int, str]:
        names = [record["name"] for record in records]
        assert names == list(ids)
        self.requests.append(names)
        self.begun.set()
        assert self.go.wait(30)
        if self._fail in names:
            raise ConnectionError(self._fail)
        return {at: "bad" for at, name in enumerate(names) if name.startswith("bad")}


def rows(*names: str) -> list[dict[str, Any]]:
    return [{"name": name} for name in names]


def inserted(table: Table, *inserts: Sequence[str], size: int = 10) -> list[Any]:
    """Return what became of inserts, all but the first of which come while that one is on its way."""
    joined = JoinedInserts()

    def insert(names: Sequence[str]) -> Any:
        try:
            return joined.insert(rows(*names), names, size, table.send)
        except ConnectionError as error:
            return error

    with ThreadPoolExecutor(len(inserts)) as pool:
        found = [pool.submit(insert, inserts[0])]
        assert table.begun.wait(30)
        for number, names in enumerate(inserts[1:], 1):
            found.append(pool.submit(insert, names))
            while len(joined._waiting) < number:
                pass
        table.go.set()
        return [one.result() for one in found]


def test_what_comes_meanwhile_goes_together() -> None:
    table = Table()
    assert inserted(table, ["a"], ["b", "bad1"], ["bad2", "c", "bad3"], ["d"]) == [
        {}, {1: "bad"}, {0: "bad", 2: "bad"}, {}]  # fmt: skip
    assert table.requests[0] == ["a"]
    assert len(table.requests) == 2
    assert sorted(table.requests[1]) == ["b", "bad1", "bad2", "bad3", "c", "d"]


def test_requests_stay_within_bounds() -> None:
    table, many = Table(), [f"r{i}" for i in range(ROWS_A_REQUEST - 1)]
    inserted(table, ["a"], many, ["b"], ["c"])
    assert all(len(request) <= ROWS_A_REQUEST for request in table.requests)
    assert sorted(name for request in table.requests for name in request) == sorted(["a", "b", "c", *many])
    table = Table()
    inserted(table, ["a"], ["b"], ["c"], size=REQUEST_BYTES // 2 + 1)
    assert sorted(map(len, table.requests)) == [1, 1, 1]


def test_nobody_fails_because_of_anothers_rows() -> None:
    table = Table(fail="poison")
    found = inserted(table, ["a"], ["b"], ["poison"], ["c"])
    assert [type(one) for one in found] == [dict, dict, ConnectionError, dict]
    assert ["b"] in table.requests


def test_a_failure_comes_to_its_caller_and_not_to_the_next() -> None:
    joined, table = JoinedInserts(), Table(fail="poison")
    table.go.set()
    with pytest.raises(ConnectionError):
        joined.insert(rows("poison"), ["poison"], 1, table.send)
    assert joined.insert(rows("a"), ["a"], 1, table.send) == {}
    assert table.requests == [["poison"], ["a"]]


def test_a_table_has_one_place() -> None:
    assert inserts_into("p.d.forecasts") is inserts_into("p.d.forecasts")
    assert inserts_into("p.d.forecasts") is not inserts_into("p.e.forecasts")
