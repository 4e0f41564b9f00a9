"""POST /forecast of a service on this machine: latency, throughput, files of a thousand series, and memory.

    python benchmarks/service.py [--seconds=10] [--requests=0]

Requests come from a process of its own over connections that stay open. With --requests=100000 that many small ones are
sent, and the service's memory is printed after each tenth of them.
"""

from __future__ import annotations

import argparse
import http.client
import io
import multiprocessing
import re
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[1]))

ROWS, SERIES, AT_ONCE = 365, 1000, 4
ARROW = "application/vnd.apache.arrow.stream"


def main() -> None:
    """Measure all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement [%(default)s]")
    parser.add_argument("--requests", type=int, default=0, help="to send for the figures of memory [none]")
    arguments = parser.parse_args()
    one, many, table = made(1), made(SERIES), as_arrow(made(SERIES))
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", "serve", "--port=0", f"--at_once={AT_ONCE}"], stderr=log
        )
        while not (found := re.search(r"http://127.0.0.1:(\d+)", Path(log.name).read_text())):
            assert process.poll() is None, Path(log.name).read_text()
            time.sleep(0.05)
        port = int(found[1])
        try:
            send(port, one, 50)
            alone = send(port, one, 0, arguments.seconds)
            print(f"{ROWS} rows, one at a time    p50 {1e3 * statistics.median(alone):7.2f} ms   "
                  f"{len(alone) / arguments.seconds:6.0f} per second")  # fmt: skip
            with multiprocessing.Pool(1) as pool:
                busy = pool.apply(send_at_once, (port, one, arguments.seconds))
            print(f"{ROWS} rows, {AT_ONCE} at a time      p50 {1e3 * statistics.median(busy):7.2f} ms   "
                  f"{len(busy) / arguments.seconds:6.0f} per second")  # fmt: skip
            for name, body, kind in (("CSV", many, "text/csv"), ("Arrow", table, ARROW)):
                send(port, body, 2, 0, kind)
                took = send(port, body, 8, 0, kind)
                print(f"{SERIES} series as {name:<12} p50 {1e3 * statistics.median(took):7.2f} ms")
            for part in range(11 if arguments.requests else 0):
                print(f"{arguments.requests * part // 10:>8} requests   {memory_of(process.pid):7.1f} MB", flush=True)
                if part < 10:
                    send(port, one, arguments.requests // 10)
        finally:
            process.kill()
            process.wait()


def made(series: int) -> bytes:
    """Return a CSV of years of daily values."""
    from series import make_block

    block = make_block(ROWS, series, False, 0, first_day=0)
    dates = block.days.astype("datetime64[D]").astype(str).tolist()
    values = [f"{value:.2f}" for value in block.y.tolist()]
    lines = ["unique_id,ds,y"]
    lines += [f"s{row // ROWS},{date},{value}" for row, (date, value) in enumerate(zip(dates, values, strict=True))]
    return "\n".join([*lines, ""]).encode()


def as_arrow(content: bytes) -> bytes:
    """Return a CSV as an Arrow stream."""
    from pyarrow import csv

    table = csv.read_csv(io.BytesIO(content))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def send(port: int, body: bytes, times: int, seconds: float = 0, kind: str = "text/csv") -> list[float]:
    """Return how long each request took: as many as said, or as fit into the time."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    headers = {"Content-Type": kind, "Accept": kind}
    took: list[float] = []
    end = time.perf_counter() + seconds
    while len(took) < times or time.perf_counter() < end:
        start = time.perf_counter()
        connection.request("POST", "/forecast", body, headers)
        answer = connection.getresponse()
        answer.read()
        took.append(time.perf_counter() - start)
        assert answer.status == 200, answer.status
    connection.close()
    return took


def send_at_once(port: int, body: bytes, seconds: float) -> list[float]:
    """Return how long each request took, from several connections at once."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [one for took in pool.map(lambda _: send(port, body, 0, seconds), range(AT_ONCE)) for one in took]


def memory_of(process: int) -> float:
    """Return the resident memory of a process in MB."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1000


if __name__ == "__main__":
    main()
