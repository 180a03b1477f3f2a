from __future__ import annotations

import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell


@pytest.fixture
def cell():
    """A shell as a kernel has it; gives what its cell shows."""
    shell = InteractiveShell()
    shell.kernel = object()
    shell.display_pub = CapturingDisplayPublisher()
    InteractiveShell._instance = shell
    yield shell.display_pub.outputs
    InteractiveShell.clear_instance()
