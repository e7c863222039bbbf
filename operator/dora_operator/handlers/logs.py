"""What is logged, and what must never be.

Libraries that could show a request's headers or a Secret's body stay at WARNING, whatever level is asked for.
"""

import logging

SILENT_BELOW_WARNING = ("httpcore", "httpx", "kubernetes", "aiohttp", "urllib3", "asyncio")
FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def configure(level: str) -> None:
    """Log to standard error at this level."""
    logging.basicConfig(level=level, format=FORMAT, force=True)
    for name in SILENT_BELOW_WARNING:
        logging.getLogger(name).setLevel(logging.WARNING)
    if level != "DEBUG":  # kopf says "handler succeeded" for every event at INFO
        logging.getLogger("kopf").setLevel(logging.WARNING)
