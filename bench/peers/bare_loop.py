"""The most that httpx sends: one client, so many requests at once, the operator's bytes, and nothing else.

Run as a process: python -m bench.peers.bare_loop URL COUNT CONCURRENCY.
"""

import asyncio
import sys

from bench.objects import deployment_id
from dora_operator.clients.datadog import open_http
from dora_operator.domain.request import PatchById, encode
from dora_operator.domain.resource import MarkState

HEADERS = {
    "Accept": "application/json",
    "Content-Type": "application/json",
    "DD-API-KEY": "a",
    "DD-APPLICATION-KEY": "b",
    "User-Agent": "dora-operator",
}


async def main(url: str, count: int, concurrency: int) -> None:
    """Send one PATCH for each deployment."""
    numbers = iter(range(count))
    async with open_http(connections=concurrency) as client:

        async def work() -> None:
            for number in numbers:
                request = PatchById(deployment_id(number), MarkState(change_failure=True))
                (await client.patch(url + request.path, content=encode(request), headers=HEADERS)).raise_for_status()

        await asyncio.gather(*(work() for _ in range(concurrency)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
