"""Real kernels for the tests: run a cell, collect what it shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jupyter_client.manager import start_new_kernel

TIMEOUT = 120


@dataclass
class Shown:
    """What a cell did: its status, the texts it showed, and how often a display was updated."""

    status: str = "ok"
    error: str = ""
    texts: list[str] = field(default_factory=list)
    bundles: list[dict[str, Any]] = field(default_factory=list)
    updates: list[dict[str, Any]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.texts)


class Kernel:
    """One notebook's kernel with ``%maas`` loaded."""

    def __init__(self, manager: Any, client: Any) -> None:
        self.manager, self.client = manager, client

    def run(self, code: str, *, on_update: Any = None) -> Shown:
        shown = Shown()

        def take(message: dict[str, Any]) -> None:
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                shown.texts.append(content["text"])
            elif kind in ("display_data", "execute_result", "update_display_data"):
                (shown.updates if kind == "update_display_data" else shown.bundles).append(content["data"])
                shown.texts.append(content["data"].get("text/plain", ""))
                if on_update is not None:
                    on_update(content["data"].get("text/plain", ""))
            elif kind == "error":
                shown.error = "\n".join(content["traceback"])

        reply = self.client.execute_interactive(code, output_hook=take, timeout=TIMEOUT)
        shown.status = reply["content"]["status"]
        return shown

    def value(self, expression: str) -> str:
        shown = self.run(f"print({expression})")
        assert shown.status == "ok", shown.error
        return shown.text.strip()


@contextmanager
def kernel() -> Iterator[Kernel]:
    """Start a kernel in this process's environment and end it."""
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        notebook = Kernel(manager, client)
        assert notebook.run("%load_ext maas_jupyter").status == "ok"
        yield notebook
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
