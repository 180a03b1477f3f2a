from __future__ import annotations

import pytest

from maas_jupyter.errors import Unauthorized
from maas_jupyter.serving.auth import Authenticator, Principal


def test_tokens():
    authenticate = Authenticator({"secret": Principal("a"), "other": Principal("b")})
    assert authenticate(b"Bearer other") == Principal("b")
    assert authenticate(b"bearer secret") == Principal("a")
    assert "secret" not in repr(authenticate)
    for wrong in (b"", b"Bearer", b"Bearer secret2", b"secret", b"Basic secret", b"Bearer \xff"):
        with pytest.raises(Unauthorized):
            authenticate(wrong)
