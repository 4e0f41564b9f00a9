"""Work that is done in other threads while its earlier results are used, in order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
_LOOK_SECONDS = 0.1  # how soon a thread notices that nobody wants more


def done_ahead(
    items: Iterator[T], work: Callable[[T], R], at_once: int, most: int
) -> Generator[tuple[T, R], None, None]:
    """Yield items with what `work` makes of them, as if it were done one after the other.

    One thread takes the items, others work on them. An error comes where it would come without threads: after all
    results before it.

    Args:
        items: taken by one thread.
        work: called by several threads.
        at_once: how many items are worked on at a time.
        most: how many items may be taken before their results are used.
    """
    ready: queue.Queue[tuple[T | None, Future[R] | None]] = queue.Queue(most)
    stopped = threading.Event()

    def put(item: T | None, result: Future[R] | None) -> None:
        while not stopped.is_set():
            try:
                ready.put((item, result), timeout=_LOOK_SECONDS)
            except queue.Full:
                continue
            return

    with ThreadPoolExecutor(at_once, "ahead") as pool:

        def take() -> None:
            try:
                for item in items:
                    if stopped.is_set():
                        return
                    put(item, pool.submit(work, item))
                put(None, None)
            except BaseException as error:  # noqa: BLE001 - raised where the items are used
                failed: Future[R] = Future()
                failed.set_exception(error)
                put(None, failed)

        taker = threading.Thread(target=take, name="ahead-take", daemon=True)
        taker.start()
        try:
            while True:
                item, result = ready.get()
                if result is None:
                    return
                made = result.result()
                assert item is not None
                yield item, made
        finally:
            stopped.set()
            taker.join()
            pool.shutdown(cancel_futures=True)
