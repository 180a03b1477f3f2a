from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))

from bundles import Bundles, linear_softmax
from supervised import Server


@pytest.fixture
def make_server(tmp_path):
    """Return a function that starts a server with a command line."""
    with contextlib.ExitStack() as stack:

        def make(*arguments, home=None):
            server = Server(home or tmp_path / "server", *arguments).start()
            stack.callback(server.close)
            return server

        yield make


@pytest.fixture
def scaled(tmp_path):
    """Return a function that gives a bundle for a number, another one for another; ``padding`` makes its file large."""
    bundles, made = Bundles(tmp_path / "made"), {}

    def get(scale, padding=0):
        if (scale, padding) not in made:
            model, signature = linear_softmax(scale)
            model.doc_string = f"{scale:x>8}" * (padding // 8)
            made[scale, padding] = bundles.make((model, signature))
        return made[scale, padding]

    return get
