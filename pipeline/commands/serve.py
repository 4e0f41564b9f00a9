"""dropcast serve: an HTTP service to which Pub/Sub pushes a bucket's notifications."""

from __future__ import annotations

import argparse
import dataclasses
import gc
import ipaddress
import logging
import math
import os
import resource
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
from pipeline.service.access import Keys, PushTokens, googles_certificates
from pipeline.service.app import make_app
from pipeline.service.desk import OnRequest
from pipeline.service.tracing import WithTrace

if TYPE_CHECKING:
    from fastapi import FastAPI

    from pipeline.service.pushes import Pushes

FOR_PUSHES = (
    "dataset",
    "history",
    "partition_expiration_days",
    "leave_large",
    "allow",
    "output_topic",
    "kafka_properties",
)
NO_SUBSCRIPTION = "pushed"  # what is read comes with each request
_log = logging.getLogger(__name__)
BYTES_PER_ROW = 100  # of the largest body: rows of a forecast are bounded by it too
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
        help="something in front checks who calls, such as Cloud Run; another host than this needs that, or "
        "--api_keys_file, and --push_audience if there is an --output",
    )
    found.add_argument(
        "--api_keys_file",
        metavar="FILE",
        help="file with keys, one on each line: POST /forecast and POST /check need one of them",
    )
    found.add_argument(
        "--push_audience",
        metavar="TEXT",
        help="audience of the push subscription's tokens: pushes need one that Google has signed",
    )
    found.add_argument(
        "--push_account", metavar="EMAIL", help="service account that these tokens must be of; needs --push_audience"
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
    add_model_arguments(
        found,
        RunOptions,
        ("output", "allow", "dataset", "history", "partition_expiration_days", "output_topic", "kafka_properties"),
    )
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
        problems += _open_doors(arguments)
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
        keys = Keys.of_file(arguments["api_keys_file"]) if arguments["api_keys_file"] else None
        own = limits.model_copy(update={
            "max_bytes": min(limits.max_bytes, 10 * body),
            "max_fit_seconds": min(limits.max_fit_seconds, asked_seconds),
            "max_forecast_rows": min(limits.max_forecast_rows, max(body // BYTES_PER_ROW, 1)),
        })  # fmt: skip
        on_request = OnRequest(spec, own, at_once, body, asked_seconds, keys)
        pushes = None
        if output:
            needs_clients()
            run = run_from({**arguments, "input_subscription": f"projects/none/subscriptions/{NO_SUBSCRIPTION}"}, [])
            assert isinstance(run, BucketRun)
            pushes = _pushes(dataclasses.replace(run, subscription=""), arguments, (at_once, most, seconds))
        tokens = None
        if arguments["push_audience"]:
            tokens = PushTokens(arguments["push_audience"], arguments["push_account"], googles_certificates)
        app = make_app(on_request, pushes, tokens)
        return _serve(app, arguments["host"], port, max(seconds, asked_seconds) if pushes else asked_seconds)
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


def _open_doors(arguments: dict[str, Any]) -> list[str]:
    """Return what is wrong with who may call: everybody may only on this machine."""
    problems = []
    host, account = arguments["host"], arguments["push_account"]
    if bool(account) != bool(arguments["push_audience"]):
        problems.append("--push_audience, --push_account: each needs the other")
    if account and not arguments["output"]:
        problems.append("--push_account: works only with --output")
    if _is_loopback(host) or arguments["behind_iam"]:
        return problems
    if not arguments["api_keys_file"]:
        problems.append(
            f"--host: {host} can be reached from elsewhere, and whoever reaches it may ask for forecasts; name keys "
            "with --api_keys_file, or add --behind_iam if something in front checks who calls"
        )
    if arguments["output"] and not account:
        problems.append(
            f"--host: {host} can be reached from elsewhere, and whoever reaches it may push; name whose tokens count "
            "with --push_audience and --push_account, or add --behind_iam if something in front checks who calls"
        )
    return problems


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
    work = InProcess(output, run.rules, own, run.output_topic)
    return Pushes(work, PushLimits(at_once, most, seconds, bool(arguments["leave_large"])))


def _serve(app: FastAPI, host: str, port: int, grace: float) -> int:
    """Serve until a signal comes, and then until what was begun is done, for at most `grace` seconds.

    Raises:
        OptionsError: if the port is taken.
    """
    import uvicorn

    from pipeline.service.connections import BoundedConnection

    logs.set_up()
    logging.getLogger("pipeline").setLevel(logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.addFilter(WithTrace(os.environ.get("GOOGLE_CLOUD_PROJECT", "")))
    config = uvicorn.Config(
        app, http=BoundedConnection, loop="uvloop", ws="none", log_config=None, access_log=False, server_header=False,
        timeout_graceful_shutdown=math.ceil(grace + GRACE_SECONDS),
    )  # fmt: skip
    try:
        listening = _listening(host, port)
    except OSError as error:
        raise OptionsError([f"--host, --port: {error.strerror or error}"]) from None
    server = uvicorn.Server(config)

    def end(*_: object) -> None:
        server.should_exit = True

    # uvicorn's own handlers are set later than a signal may come, and raise it again once all is done
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # each connection is one
    gc.collect()
    gc.freeze()  # what is loaded by now stays, and is not looked through again and again
    shown = host if ":" not in host else f"[{host}]"
    _log.info("serving at http://%s:%d", shown, listening.getsockname()[1])
    server.run(sockets=[listening])
    if app.state.desk.is_busy:  # with what nobody gets an answer to any more, and that does not look at the time
        _log.warning("ended with a forecast unfinished")
        os._exit(0)
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
