"""A stand-in for Datadog's DORA API: answers as recorded, records requests, fails on demand.

For tests, benchmarks and trying things by hand; it must never be part of the operator. `model` is its pure core.
"""

from sandbox.datadog.access import fingerprint
from sandbox.datadog.behaviour import (
    ApmRows,
    Behaviour,
    EarlyMark,
    Precedence,
    RemediationVersion,
    UnknownDeployment,
)
from sandbox.datadog.faults import Drip, Garbage, HalfBody, Hang, Match, Pass, Redirect, Reset, Respond, Rule
from sandbox.datadog.recording import Recorded
from sandbox.datadog.seeds import Found, Seed
from sandbox.datadog.settings import (
    RECORDED_LATENCY,
    Endpoint,
    Permission,
    RateLimit,
    ReadSchema,
    Settings,
)
from sandbox.datadog.standin import StandIn

__all__ = [
    "RECORDED_LATENCY",
    "ApmRows",
    "Behaviour",
    "Drip",
    "EarlyMark",
    "Endpoint",
    "Found",
    "Garbage",
    "HalfBody",
    "Hang",
    "Match",
    "Pass",
    "Permission",
    "Precedence",
    "RateLimit",
    "ReadSchema",
    "Recorded",
    "Redirect",
    "RemediationVersion",
    "Reset",
    "Respond",
    "Rule",
    "Seed",
    "Settings",
    "StandIn",
    "UnknownDeployment",
    "fingerprint",
]
