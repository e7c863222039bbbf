"""A user that follows a page: its commands run in a shell, as they stand there, on the local cluster.

What a test machine lacks is a program of the same name on PATH: docker, kind. The rest is real: kubectl, Helm, the
plugin of Argo Rollouts, the chart.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sandbox.cluster import LocalCluster
from sandbox.cluster.process import free_ports
from sandbox.programs.build import ensure
from sandbox.programs.catalogue import HELM, ROLLOUTS
from tests.support.chart import QUICK_PODS
from tests.support.pages import ROOT, Block, blocks
from tests.support.shop import eventually

NOTHING = "#!/bin/sh\n"
"""A program that this machine does not have, and that nothing here needs."""
HELM_HERE = """#!/bin/sh
case " $* " in *" install "*|*" upgrade "*) exec {helm} "$@" --values {values} ;; esac
exec {helm} "$@"
"""
"""Helm itself. An installation gets what this machine needs: where Datadog's stand-in is, free ports, quick pods."""
Pod = Callable[[], AbstractContextManager[Any]]
"""Runs what the pod of the Deployment would run, while it is entered."""


@dataclass(slots=True)
class Reader:
    """Follows a page. `pod` is started again after each command that makes or changes the release."""

    cluster: LocalCluster
    folder: Path
    datadog_url: str
    pod: Pod = nullcontext
    docker: str = NOTHING
    variables: Mapping[str, str] = field(default_factory=dict)
    """More of the environment, for `docker`."""
    running: ExitStack = field(default_factory=ExitStack)
    times: dict[str, float] = field(default_factory=dict)
    """When each program began to run last."""

    def __post_init__(self) -> None:
        """Lay the programs out."""
        health, metrics = free_ports(2)
        settings = {"datadogUrl": self.datadog_url, "healthPort": health, "metricsPort": metrics}
        values = self.folder / "machine.yaml"
        values.write_text(yaml.safe_dump({"settings": settings} | QUICK_PODS))
        helm = HELM_HERE.format(helm=ensure([HELM])["helm"], values=values)
        (self.folder / "bin").mkdir()
        for name, text in {"docker": self.docker, "kind": NOTHING, "helm": helm}.items():
            program = self.folder / "bin" / name
            program.write_text(text)
            program.chmod(0o755)
        (self.folder / "bin" / "kubectl-argo-rollouts").symlink_to(ensure(ROLLOUTS)["kubectl-argo-rollouts"])
        (self.folder / "bin" / "kubectl").symlink_to(Path(sys.executable).with_name("kubectl"))

    def follow(self, block: Block, said: Mapping[str, str], until: Mapping[str, str]) -> None:
        """Run the commands of a block; `said` is what the page leaves to its reader, each of which it has to name.

        What begins with a key of `until` is run again until its output has these words.
        """
        for placeholder in said:
            assert placeholder in block.text, f"{block.where} no longer says {placeholder}"
        for command in commands_of(block, said):
            wanted = next((words for start, words in until.items() if command.startswith(start)), None)
            self._run(command, wanted)

    def _run(self, command: str, wanted: str | None) -> None:
        program = command.split(maxsplit=1)[0]
        self.times[program] = time.time()
        if wanted is None:
            done = self._shell(command)
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        else:
            quiet = command.replace(" --watch", "")  # a person reads, and ends it
            eventually(lambda: wanted in self._shell(quiet).stdout, lambda: f"{quiet}\n{self._shell(quiet)}")
        if program == "helm" and {"install", "upgrade"} & set(command.split()):
            self.running.close()
            self.running.enter_context(self.pod())

    def _shell(self, command: str) -> subprocess.CompletedProcess[str]:
        homes = {f"HELM_{name}_HOME": str(self.folder / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder if any((self.folder / word).is_file() for word in command.split()) else ROOT,
            env=os.environ | self.variables | homes | {"PATH": path, "KUBECONFIG": str(self.cluster.kubeconfig)},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )


def commands_of(block: Block, said: Mapping[str, str]) -> list[str]:
    """Return the commands of a block, with what its reader puts in; lines that go on are one."""
    found = []
    for line in re.sub(r"\\\n\s*", "", block.text).splitlines():
        for placeholder, text in said.items():
            line = line.replace(placeholder, text)  # noqa: PLW2901 - the same line, said in full
        found += [part for part in re.split(r"\s+&&\s+", line.strip()) if part and not part.startswith("#")]
    return found


def blocks_of(page: str, language: str = "console") -> list[Block]:
    """Return the blocks of a page."""
    return [block for block in blocks(language) if block.where.startswith(f"{page}, ")]
