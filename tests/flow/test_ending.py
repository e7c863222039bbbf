"""SIGTERM ends the process in time, whatever hangs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.support.shop import eventually

STOP_SECONDS = 10.0
"""From SIGTERM to the exit."""
SLOW_NAMES = """
import pathlib, socket, time
def slowly(host, *more, **named):
    pathlib.Path(r"{asked}").touch()
    time.sleep(60)
socket.getaddrinfo = slowly
"""


def test_a_signal_while_the_process_starts_ends_it() -> None:
    """A container's process 1 gets no signal that it does not handle, and it imports for half a second."""
    program = (
        "import importlib.abc, os, signal, sys, time\n"
        "class Slow(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'dora_operator.app':\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "            time.sleep(60)\n"
        "sys.meta_path.insert(0, Slow())\n"
        "sys.argv = ['dora-operator', 'run']\n"
        "from dora_operator.cli import app\n"
        "app()\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=30).returncode == 0


def test_a_name_that_cannot_be_resolved_does_not_keep_the_process(tmp_path: Path) -> None:
    """A cluster without DNS, SIGTERM while it starts: the lookup goes on for a minute, the process does not."""
    asked = tmp_path / "asked"
    (tmp_path / "sitecustomize.py").write_text(SLOW_NAMES.format(asked=asked))
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": "http://api.example:6443"}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
            }
        )
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "KUBECONFIG": str(kubeconfig)}
    command = [str(Path(sys.executable).with_name("dora-operator")), "run"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            eventually(asked.exists, lambda: "no name was resolved", seconds=30)
            process.send_signal(signal.SIGTERM)
            begun = time.monotonic()
            assert process.wait(30) == 0
        finally:
            process.kill()
    assert time.monotonic() - begun < STOP_SECONDS
