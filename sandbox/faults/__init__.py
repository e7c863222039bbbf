"""A proxy between a client and the API server that fails on demand. For tests; no part of the operator."""

from sandbox.faults.fault import Fault, What
from sandbox.faults.proxy import FaultProxy

__all__ = ["Fault", "FaultProxy", "What"]
