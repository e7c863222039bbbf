"""`python -m sandbox.datadog --port N`: the stand-in as a process, until it is interrupted or stopped.

Prints one line with its URL once it listens. Translates options to settings and does nothing else: an option is named
after its setting, and one that is not given keeps the default.
"""

import argparse
import asyncio
import signal
import time
from collections.abc import Callable, Sequence

from sandbox.datadog.behaviour import ApmRows, EarlyMark, Precedence, RemediationVersion, UnknownDeployment
from sandbox.datadog.server import Server
from sandbox.datadog.settings import Endpoint, Permission, RateLimit, ReadSchema, Settings


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    made = argparse.ArgumentParser(
        prog="python -m sandbox.datadog",
        description="Stand-in for Datadog's DORA API",
        argument_default=argparse.SUPPRESS,
    )
    add = made.add_argument
    add("--host")
    add("--port", type=int, help="0 (default) takes a free one and prints it")
    add("--api-key", action="append", dest="api_keys", metavar="KEY", help="accept only these (repeatable); else any")
    add("--app-key", action="append", dest="application_keys", metavar="KEY", help="accept only these; else any")
    add("--permission", action="append", dest="permissions", choices=list(Permission), help="of application keys")
    add("--rate-limit", type=int, metavar="N", help="requests per period and key")
    add("--rate-period", type=int, metavar="SECONDS")
    add("--latency", type=_latency, action="append", metavar="MS or ENDPOINT=MS", help=f"of {', '.join(Endpoint)}")
    _add_behaviour(add)
    add("--read-schema", choices=list(ReadSchema), help="which attributes GET and list show")
    add("--any-times", dest="exact_times", action="store_false", help="a list takes any RFC 3339 date-time")
    add(
        "--body-by-version",
        dest="empty_body_by_version",
        action="store_false",
        help='answer the PATCH by version with {"data":null}, not an empty body',
    )
    return made


def _add_behaviour(add: Callable[..., object]) -> None:
    for name, until in (
        ("--ingest-delay", "a posted deployment is visible"),
        ("--apm-delay", "a deployment found by APM is visible (default: as posted ones)"),
        ("--patch-delay", "an accepted mark is applied"),
        ("--evaluation-delay", "change_failure turns from null to false (default: never)"),
        ("--detection-delay", "an ingested rollback is detected"),
    ):
        add(name, type=float, metavar="SECONDS", help=f"until {until}")
    add("--unknown-deployment", choices=list(UnknownDeployment))
    add("--early-mark", choices=list(EarlyMark), help="of a deployment that is not visible yet")
    add("--no-detection", dest="detection", action="store_false", help="no automatic rollback detection")
    add("--precedence", choices=list(Precedence), help="of detection and marks made by hand")
    add("--apm-rows", choices=list(ApmRows))
    add("--remediation-version", choices=list(RemediationVersion), help="when a remediation by version is bound")
    add("--no-negative-recovery", dest="negative_recovery", action="store_false")
    add("--marks-after-evaluation", dest="marks_before_evaluation", action="store_false")


def _latency(text: str) -> tuple[Endpoint | None, float]:
    name, _, milliseconds = text.rpartition("=")
    return Endpoint(name) if name else None, float(milliseconds) / 1000


def settings_from(arguments: Sequence[str] | None = None) -> Settings:
    """Return the settings that a command line asks for."""
    given = vars(parser().parse_args(arguments))
    latencies = dict(given.pop("latency", []))
    usual = latencies.pop(None, 0)
    limit = {
        name: given.pop(option)
        for option, name in (("rate_limit", "limit"), ("rate_period", "period"))
        if option in given
    }
    return Settings(latency=usual, endpoint_latency=latencies, rate_limit=RateLimit(**limit), **given)


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = Server(settings, time.time)
    url = await server.start()
    print(f"Datadog stand-in listening on {url}", flush=True)
    await stop.wait()
    await server.stop()


if __name__ == "__main__":
    asyncio.run(_serve(settings_from()))
