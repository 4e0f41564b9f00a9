"""On one machine: messages are pulled, worked on in this process, and acknowledged when that is in the ledger."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from pipeline.core.requests.messages import Message
from pipeline.intake.keeper import Keeper
from pipeline.intake.source import Source, Taken

AT_ONCE = 4  # messages that are worked on
WINDOW = 4 * AT_ONCE  # messages that are held
PULL_SECONDS = 1.0  # for which a message is waited for
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds after a pull that failed
_log = logging.getLogger(__name__)


def pull_until(
    stop: threading.Event,
    source: Source,
    do: Callable[[Message], bool],
    passing: Callable[[BaseException], bool],
    grace: float,
) -> int:
    """Work on a source's messages until it is time to stop; return how many were left unfinished, to come again.

    Args:
        stop: set when no more messages are to be taken.
        source: gives them.
        do: does what one asks for; returns whether that is settled. One that raises comes again.
        passing: says whether an error of a pull may pass.
        grace: seconds for what is being worked on then.

    Raises:
        Exception: of a pull, if it does not pass.
    """
    keeper = Keeper(source, WINDOW)
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="message")

    def work(taken: Taken) -> None:
        if stop.is_set():
            return
        try:
            settled = do(taken.message)
        except Exception:  # noqa: BLE001 - whatever a server's client raises: the message comes again
            _log.exception("message %s failed and is to come again", taken.id)
            settled = False
        if settled:
            keeper.settle(taken)
        else:
            keeper.give_back(taken)

    running: set[Future[None]] = set()

    def take(taken: Taken) -> None:
        future = pool.submit(work, taken)
        running.add(future)
        future.add_done_callback(running.discard)

    try:
        _pull(stop, keeper, passing, take)
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        wait(set(running), grace)
        left = keeper.close()
    return left


def _pull(
    stop: threading.Event, keeper: Keeper, passing: Callable[[BaseException], bool], take: Callable[[Taken], None]
) -> None:
    pause = FIRST_WAIT
    while not stop.is_set():
        has_room = keeper.wait_for_room(AT_ONCE, PULL_SECONDS)
        try:
            new = keeper.pull(PULL_SECONDS) if has_room else keeper.pull(0.0, most=0)
        except Exception as error:
            if not passing(error):
                raise
            _log.warning("no messages for %g s: %s", pause, error)
            stop.wait(pause)
            pause = min(2 * pause, LONGEST_WAIT)
            continue
        pause = FIRST_WAIT
        for taken in new:
            take(taken)
