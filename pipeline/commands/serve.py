"""dropcast serve: an HTTP service to which Pub/Sub pushes a bucket's notifications."""

from __future__ import annotations

import argparse
import dataclasses
import ipaddress
import logging
import math
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

from pipeline import logs
from pipeline.commands import OptionsError, add_model_arguments, parsed, parser_for, refuse
from pipeline.commands.sending import needs_clients
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.requests.uris import is_uri
from pipeline.options import RunOptions, spec_from
from pipeline.places import open_output
from pipeline.runs import BucketRun, run_from
from pipeline.service.app import OnRequest, WithTrace, make_app

if TYPE_CHECKING:
    from pipeline.service.pushes import Pushes

FOR_PUSHES = ("dataset", "history", "partition_expiration_days", "leave_large", "allow")
NO_SUBSCRIPTION = "pushed"  # what is read comes with each request
_log = logging.getLogger(__name__)
GRACE_SECONDS = 5.0  # for answers to be sent after the last request is done


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    found = parser_for(
        "serve",
        "Serve HTTP: POST /forecast answers with the forecast of the file that it is sent. With --output, Pub/Sub or "
        "Eventarc pushes a bucket's notifications and manifests to POST /, and each file is forecast before the "
        "answer, with the same output, tables and ledger as the pipeline's, which may serve the same bucket at the "
        "same time.",
        "dropcast serve --output=gs://acme-forecasts/daily --dataset=acme.forecasts --allow=gs://acme-uploads/",
        "[OPTION ...]",
    )
    found.add_argument("--host", default="127.0.0.1", help="address to listen on [%(default)s]")
    found.add_argument("--port", default="8080", help="port; 0 for any that is free [%(default)s]")
    found.add_argument(
        "--behind_iam",
        action="store_true",
        help="something in front checks who calls, such as Cloud Run; needed for other hosts than this",
    )
    found.add_argument(
        "--at_once",
        default="4",
        metavar="N",
        help="pushes, and forecasts on request, that are worked on at a time [%(default)s]",
    )
    found.add_argument(
        "--max_body_bytes", default="100000000", metavar="BYTES", help="largest body of POST /forecast [%(default)s]"
    )
    found.add_argument(
        "--max_request_seconds",
        default="60",
        metavar="SECONDS",
        help="longest time for a forecast on request (TOO_SLOW) [%(default)s]",
    )
    found.add_argument(
        "--max_push_bytes",
        default="100000000",
        metavar="BYTES",
        help="largest file of a push (TOO_LARGE) [%(default)s]",
    )
    found.add_argument(
        "--max_push_seconds",
        default="540",
        metavar="SECONDS",
        help="longest time for a push, below Pub/Sub's ten minutes (TOO_SLOW) [%(default)s]",
    )
    found.add_argument(
        "--leave_large", action="store_true", help="leave larger files to the pipeline, which serves the same bucket"
    )
    add_model_arguments(found, RunOptions, ("output", "allow", "dataset", "history", "partition_expiration_days"))
    add_model_arguments(found, ForecastSpec)
    add_model_arguments(found, Limits)
    return found


def main(argv: list[str]) -> int:
    """Run the command."""
    try:
        arguments = parsed(parser(), argv)
        problems: list[str] = []
        port = int(_number(arguments["port"], "port", 0, 65_535, problems))
        at_once = int(_number(arguments["at_once"], "at_once", 1, 1000, problems))
        most = int(_number(arguments["max_push_bytes"], "max_push_bytes", 1, 10**12, problems))
        seconds = _number(arguments["max_push_seconds"], "max_push_seconds", 1, 600, problems)
        if not _is_loopback(arguments["host"]) and not arguments["behind_iam"]:
            problems.append(
                f"--host: {arguments['host']} can be reached from elsewhere, and whoever reaches it may ask for "
                "forecasts; add --behind_iam if something in front checks who calls"
            )
        body = int(_number(arguments["max_body_bytes"], "max_body_bytes", 1, 10**12, problems))
        asked_seconds = _number(arguments["max_request_seconds"], "max_request_seconds", 1, 3600, problems)
        spec, limits, wrong = spec_from(arguments)
        output = arguments["output"]
        if output and not is_uri(output):
            problems.append("--output: must be gs://bucket/prefix")
        if not output:
            problems += [f"--{name}: works only with --output" for name in FOR_PUSHES if arguments[name]]
        if problems + wrong:
            raise OptionsError([*problems, *wrong])
        own = limits.model_copy(update={"max_bytes": min(limits.max_bytes, 10 * body)})
        on_request = OnRequest(spec, own, at_once, body, asked_seconds)
        pushes = None
        if output:
            needs_clients()
            run = run_from({**arguments, "input_subscription": f"projects/none/subscriptions/{NO_SUBSCRIPTION}"}, [])
            assert isinstance(run, BucketRun)
            pushes = _pushes(dataclasses.replace(run, subscription=""), arguments, (at_once, most, seconds))
        return _serve(on_request, pushes, arguments["host"], port, max(seconds, asked_seconds))
    except OptionsError as error:
        return refuse(error)


def _number(text: str, name: str, least: float, most: float, problems: list[str]) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        problems.append(f"--{name}: must be a number from {least:,} to {most:,} (given: {text!r})")
        return least
    return value


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _pushes(run: BucketRun, arguments: dict[str, Any], limits: tuple[int, int, float]) -> Pushes:
    """Return what answers pushes, with the place of its forecasts looked at."""
    from pipeline.cloud.in_process import InProcess
    from pipeline.cloud.output import BucketOutput
    from pipeline.cloud.prepare import prepare
    from pipeline.service.pushes import Pushes, PushLimits

    prepare(run)
    output = open_output(dataclasses.replace(run.destination, batch=False))
    assert isinstance(output, BucketOutput)
    at_once, most, seconds = limits
    own = run.limits.model_copy(update={"max_bytes": min(run.limits.max_bytes, most)})
    work = InProcess(output, run.rules, own)
    return Pushes(work, PushLimits(at_once, most, seconds, bool(arguments["leave_large"])))


def _serve(on_request: OnRequest, pushes: Pushes | None, host: str, port: int, grace: float) -> int:
    """Serve until a signal comes, and then until what was begun is done, for at most `grace` seconds.

    Raises:
        OptionsError: if the port is taken.
    """
    import uvicorn

    logs.set_up()
    logging.getLogger("pipeline").setLevel(logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.addFilter(WithTrace(os.environ.get("GOOGLE_CLOUD_PROJECT", "")))
    config = uvicorn.Config(
        make_app(on_request, pushes), log_config=None, access_log=False, server_header=False, limit_concurrency=1000,
        timeout_graceful_shutdown=math.ceil(grace + GRACE_SECONDS),
    )  # fmt: skip
    try:
        listening = _listening(host, port)
    except OSError as error:
        raise OptionsError([f"--host, --port: {error.strerror or error}"]) from None
    shown = host if ":" not in host else f"[{host}]"
    _log.info("serving at http://%s:%d", shown, listening.getsockname()[1])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn's own come before, and raise the signal again once all is done
    uvicorn.Server(config).run(sockets=[listening])
    return 0


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens; of the protocol by name, since only then asyncio lets small packets go at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(2048)
    except OSError:
        listening.close()
        raise
    return listening
