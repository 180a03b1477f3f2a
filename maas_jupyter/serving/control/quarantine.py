"""Which bundles may be loaded here: those that have loaded in a process of their own, with the present packages."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path

from msgspec.structs import replace

from maas_jupyter import plugins, schema
from maas_jupyter._version import __version__
from maas_jupyter.bundle import Bundle
from maas_jupyter.errors import BundleError, Unavailable
from maas_jupyter.schema import ProbeRecord
from maas_jupyter.serving.store import BundleStore

#: What a probe gets of its parent's environment, where secrets may be: what libraries are found and set up by.
_ENVIRONMENT = ("CONDA_PREFIX", "HOME", "LANG", "PATH", "TMPDIR", "TZ", "VIRTUAL_ENV")
_ENVIRONMENT_PREFIXES = ("CUDA_", "DYLD_", "LC_", "LD_", "MKL_", "NVIDIA_", "OMP_", "PYTHON")
#: Packages that a built-in runtime may come from.
_PACKAGES = {"onnx": ("onnxruntime", "onnxruntime-gpu")}

#: How many bundles are loaded at once in processes of their own; each may take as much memory as a worker.
PROBES = 4
#: One that has not loaded after so many seconds may hang: it takes no place from the others any more, but of these too
#: there are only so many.
SLOW_SECONDS = 10.0
SLOW_PROBES = 16

log = logging.getLogger(__name__)


class Quarantine:
    """The folder ``probes/`` of a server's home, and the processes that its records come from.

    Parameters
    ----------
    home : Path
        The server's folder.
    store : BundleStore
        Where the bundles are.
    load_seconds : float
        How long a bundle may take to load.
    """

    def __init__(self, home: Path, store: BundleStore, load_seconds: float) -> None:
        self._home = home
        self._folder = home / "probes"
        self._store = store
        self._seconds = load_seconds
        # One that hangs keeps its thread for long, so these are not the threads that all others work with.
        self._waiting = ThreadPoolExecutor(PROBES + SLOW_PROBES, thread_name_prefix="maas-probe")
        self._free = asyncio.Semaphore(PROBES)
        self._free_for_slow = asyncio.Semaphore(SLOW_PROBES)

    def _path(self, digest: str) -> Path:
        return _record_path(self._home, digest)

    def record(self, digest: str) -> ProbeRecord | None:
        """Return how a bundle loaded; None where that is not known for the packages that are installed now."""
        try:
            return read_probe(self._home, digest)
        except (BundleError, OSError) as error:
            log.warning("how bundle %s loads cannot be read, so it is probed again: %s", digest[:12], error)
            return None

    async def probe(self, digest: str) -> None:
        """Load a bundle in a process of its own, and keep a record of how that went.

        Raises
        ------
        NotFound
            If there is no such bundle.
        BundleError
            If it is altered, cannot be read, does not load, crashes, or takes too long; in the last three cases it is
            quarantined then.
        Unavailable
            If no process can be started.
        """
        bundle = await asyncio.to_thread(self._store.open, digest)
        await self._free.acquire()
        place = self._free
        started = time.perf_counter()
        load = asyncio.create_task(self._load_apart(bundle))
        try:
            await asyncio.wait({load}, timeout=SLOW_SECONDS)
            if not load.done() and not self._free_for_slow.locked():
                await self._free_for_slow.acquire()
                place.release()
                place = self._free_for_slow
            found = await load
        finally:
            load.cancel()
            place.release()
        runtime = bundle.manifest.runtime
        record = replace(found, runtime=runtime, versions=versions(runtime))
        await asyncio.to_thread(self._write, digest, record)
        if record.reason:
            log.warning("bundle %s is quarantined: %s", digest[:12], record.reason)
            raise BundleError(record.reason, record.hint)
        log.info("bundle %s loads in a process of its own: %.3f s", digest[:12], time.perf_counter() - started)

    def put(self, digest: str, reason: str) -> None:
        """Quarantine a bundle whatever its probe found."""
        record = self.record(digest) or ProbeRecord(versions=versions(""))
        self._write(digest, replace(record, reason=reason, hint=""))

    def _write(self, digest: str, record: ProbeRecord) -> None:
        try:
            schema.write_atomic(self._path(digest), schema.encode(record))
        except OSError as error:  # all that is lost is a probe more, later
            log.warning("how bundle %s loads cannot be written down: %s", digest[:12], error)

    def forget(self, digest: str) -> None:
        """Drop the record of a bundle that loads; what is quarantined stays on record until `sweep`."""
        record = self.record(digest)
        if record is None or not record.reason:
            self._path(digest).unlink(missing_ok=True)

    def sweep(self, referenced: Collection[str]) -> None:
        """Drop the records of all bundles that are not referenced."""
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                if path.stem not in referenced:
                    path.unlink()

    async def _load_apart(self, bundle: Bundle) -> ProbeRecord:
        process = self._start(bundle)
        wait = partial(asyncio.get_running_loop().run_in_executor, self._waiting, process.communicate, None)
        try:
            output, errors = await wait(self._seconds)
        except subprocess.TimeoutExpired:
            _kill(process)
            _, errors = await wait(None)
            record = ProbeRecord(
                f"The bundle does not load within {self._seconds:g} s.",
                "If that is too short for it, start the server with more --load-seconds.",
            )
        except BaseException:
            _kill(process)
            raise
        else:
            record = _verdict(process.returncode, output)
        if record.reason and errors:
            log.warning(
                "last words of the probe of bundle %s: %s",
                bundle.digest[:12],
                errors[-4000:].decode("utf-8", "replace"),
            )
        return record

    def _start(self, bundle: Bundle) -> subprocess.Popen[bytes]:
        environment = {
            name: value
            for name, value in os.environ.items()
            if name in _ENVIRONMENT or name.startswith(_ENVIRONMENT_PREFIXES)
        }
        # It finds the modules that this process would; but none in its working directory.
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        environment["PYTHONSAFEPATH"] = "1"
        module = "maas_jupyter.serving.control.probe"
        try:
            # A session of its own: what it starts ends with it, and an interrupt at the terminal is not for it.
            return subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "-m", module, bundle.folder, bundle.digest, str(self._seconds)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self._home,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(
                f"No process can be started to try the bundle in: {error}", hint="Try again when there is less load."
            ) from error


def _record_path(home: Path, digest: str) -> Path:
    return home / "probes" / f"{digest}.json"


def read_probe(home: Path, digest: str) -> ProbeRecord | None:
    """Return how a bundle loaded in a server's home; None where that is not known for the present packages.

    Raises
    ------
    BundleError
        If the record is broken.
    OSError
        If it cannot be read.
    """
    path = _record_path(home, digest)
    try:
        record = schema.decode(path.read_bytes(), ProbeRecord, where=str(path))
    except FileNotFoundError:
        return None
    return record if record.versions == versions(record.runtime) else None


def _verdict(status: int, output: bytes) -> ProbeRecord:
    """Make a record of how a probe ended."""
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        return ProbeRecord(
            f"The bundle crashes the process that loads it ({name}).", "The server's log has its last words."
        )
    with contextlib.suppress(BundleError):
        return schema.decode(output, ProbeRecord, where="The probe's report")
    return ProbeRecord(
        f"The process that loads the bundle ended with status {status}.", "The server's log has its last words."
    )


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@cache
def versions(runtime: str) -> dict[str, str]:
    """Return the versions of the packages by which a bundle loads or does not.

    Parameters
    ----------
    runtime : str
        The runtime that its manifest names.
    """
    found = {"maas-jupyter": __version__}
    if runtime in plugins.BUILTIN["runtime"]:
        for package in _PACKAGES.get(runtime, ()):
            with contextlib.suppress(PackageNotFoundError):
                found[package] = version(package)
    else:
        for entry in entry_points(group="maas_jupyter.runtime", name=runtime):
            if entry.dist:
                found[entry.dist.name] = entry.dist.version
    return found
