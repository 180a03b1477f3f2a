from __future__ import annotations

import pytest

from maas_jupyter.errors import Unauthorized
from maas_jupyter.serving.auth import Authenticator, Principal

SECRET, OTHER = "a-secret-of-sixteen", "another-of-sixteen"


def test_a_refusal_says_where_the_token_is():
    own, *_ = made = {SECRET: Principal("local"), OTHER: Principal("b")}
    for tokens, where in (({own: made[own]}, "server.json"), (made, "--token-file")):
        for header, what in ((b"", "needs a token"), (b"Bearer wrong", "is wrong")):
            with pytest.raises(Unauthorized, match=what) as caught:
                Authenticator(tokens)(header)
            assert where in caught.value.hint
            assert "Authorization: Bearer TOKEN" in caught.value.hint


def test_tokens():
    authenticate = Authenticator({SECRET: Principal("a"), OTHER: Principal("b")})
    assert authenticate(b"Bearer " + OTHER.encode()) == Principal("b")
    assert authenticate(b"bearer " + SECRET.encode()) == Principal("a")
    assert SECRET not in repr(authenticate)
    for wrong in (b"", b"Bearer", b"Bearer ", b"Bearer %b2", b"%b", b"Basic %b", b"Bearer \xff"):
        with pytest.raises(Unauthorized):
            authenticate(wrong.replace(b"%b", SECRET.encode()))
