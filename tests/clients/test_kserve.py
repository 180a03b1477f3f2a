"""KServe's clients, in a process of their own: the package pins much, so it is installed beside this environment."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from triton_models import SCORES

#: The package, and of what it imports what this environment does not have.
PACKAGES = [
    "kserve==0.21.0",
    "cloudevents==1.13.0",
    "deprecation==2.1.0",
    "durationpy==0.11",
    "grpc-interceptor==0.15.4",
    "kubernetes==37.0.2",
    "oauthlib==4.0.1",
    "orjson==3.13.0",
    "pyjwt==2.15.1",
    "requests-oauthlib==2.0.0",
    "tabulate==0.10.0",
    "timing-asgi==0.3.2",
    "watchfiles==1.3.0",
]


@pytest.fixture(scope="module")
def packages():
    """A folder with the packages; made once for this environment."""
    mark = hashlib.sha256("\n".join(PACKAGES).encode()).hexdigest()[:12]
    folder = Path(sys.prefix) / f"kserve-{mark}"
    if not folder.exists():
        beside = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=sys.prefix))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(beside), *PACKAGES]
        try:
            subprocess.run(command, check=True, timeout=300)
            beside.rename(folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return folder


@pytest.fixture(scope="module")
def seen(address, packages):
    """What KServe's clients saw."""
    session = Path(__file__).with_name("kserve_session.py")
    done = subprocess.run(
        [sys.executable, str(session), address.url, address.grpc],
        env={**os.environ, "PYTHONPATH": str(packages), "TOKEN": address.token},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("face", ["rest", "grpc"])
def test_readiness(seen, face):
    assert [seen[face][question] for question in ("live", "ready", "model")] == [True, True, True]


def test_readiness_in_rest(seen):
    assert seen["rest"]["v1 live"] is True
    assert seen["rest"]["v1 model"] is True
    assert seen["rest"]["no model"] is False


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("face", ["rest", "grpc"])
def test_inference(seen, face, binary):
    digits = seen[face][f"digits {binary}"]
    assert (digits["model"], digits["id"], digits["label"]) == ("digits", "r-1", [2, 2])
    np.testing.assert_allclose(digits["scores"], SCORES, rtol=1e-5)
    words = seen[face][f"words {binary}"]
    assert (words["label"], words["number"]) == (["a", "ü"], [1, 2])


def test_binary_both_ways(seen):
    answer = seen["rest"]["binary both ways"]
    assert "label" not in answer
    np.testing.assert_allclose(answer["scores"], SCORES, rtol=1e-5)


def test_v1(seen):
    rows = seen["rest"]["v1 infer"]["predictions"]
    np.testing.assert_allclose([row["scores"] for row in rows], SCORES, rtol=1e-5)


def test_errors_are_in_words(seen):
    (status, rest), (code, grpc) = seen["rest"]["failure"], seen["grpc"]["failure"]
    assert (status, code) == (404, "NOT_FOUND")
    assert "no model 'nothing'" in rest
    assert "no model 'nothing'" in grpc


def test_loading(seen):
    assert seen["grpc"]["unloaded"] == ["pair", True]
    assert seen["grpc"]["loaded"] == ["pair", True]
