"""A faithful stand-in for Datadog's DORA API: answers as recorded, records what it is asked, fails on demand.

For tests, benchmarks and trying things by hand; it must never be part of the operator.
"""

from sandbox.datadog.access import fingerprint
from sandbox.datadog.control import Seed
from sandbox.datadog.faults import Drip, Garbage, HalfBody, Hang, Match, Pass, Redirect, Reset, Respond, Rule
from sandbox.datadog.recording import Recorded
from sandbox.datadog.settings import RateLimit, Settings, UnknownDeployment
from sandbox.datadog.standin import StandIn

__all__ = [
    "Drip",
    "Garbage",
    "HalfBody",
    "Hang",
    "Match",
    "Pass",
    "RateLimit",
    "Recorded",
    "Redirect",
    "Reset",
    "Respond",
    "Rule",
    "Seed",
    "Settings",
    "StandIn",
    "UnknownDeployment",
    "fingerprint",
]
