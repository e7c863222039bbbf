"""What stands before each write, to Kubernetes and to Datadog, where several replicas run; `leader` implements it."""

from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")


class WriteGuard(Protocol):
    """Lets writes pass only while this process is the leader."""

    async def guard(self, request: Coroutine[Any, Any, Result]) -> Result:
        """Run the request, or raise NotLeaderError."""
        ...
