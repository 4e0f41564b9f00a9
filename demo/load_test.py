"""Uploads copies of a made-up CSV to a bucket, many at a time: python demo/load_test.py --bucket=NAME --uploads=100."""

from __future__ import annotations

import argparse
import math
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

DAYS = 365


def made_up() -> str:
    """Return a year of daily values with a weekly pattern."""
    first = date(2025, 1, 1)
    rows = (f"{first + timedelta(day)},{100 + day / 10 + 20 * math.sin(day * math.tau / 7):.2f}" for day in range(DAYS))
    return "ds,y\n" + "\n".join(rows) + "\n"


def main() -> None:
    """Upload the copies."""
    from google.cloud import storage

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--uploads", type=int, default=100)
    arguments = parser.parse_args()
    bucket, content = storage.Client().bucket(arguments.bucket), made_up()
    start = time.monotonic()
    with ThreadPoolExecutor(32) as pool:
        names = [f"load-test/{number:06d}.csv" for number in range(arguments.uploads)]
        list(pool.map(lambda name: bucket.blob(name).upload_from_string(content), names))
    print(f"{arguments.uploads} uploads in {time.monotonic() - start:.1f} s; the receipts say when each was done.")


if __name__ == "__main__":
    main()
