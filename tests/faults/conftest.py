from __future__ import annotations

import contextlib

import pytest
from fault_server import Server
from small_bundles import make_bundle


@pytest.fixture
def make_server(tmp_path):
    with contextlib.ExitStack() as stack:

        def make(*arguments, home=None):
            server = Server(home or tmp_path / "server", *arguments).start()
            stack.callback(server.stop)
            return server

        yield make


@pytest.fixture(scope="session")
def scaled(tmp_path_factory):
    """Return a function that gives a bundle whose answer is scaled by a number; each number is another digest."""
    made = {}

    def get(scale):
        if scale not in made:
            made[scale] = make_bundle(tmp_path_factory.mktemp("bundle") / "bundle", scale)
        return made[scale]

    return get
