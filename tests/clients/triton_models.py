"""What tests of Triton's clients share: a plug-in that sends the token, as its users write one, and requests."""

from __future__ import annotations

import numpy as np
from bundles import WEIGHTS

X = np.array([[1, 2, 3, 4], [0, 0, 0, 1]], dtype=np.float32)
_POWERS = np.exp(X @ WEIGHTS)
SCORES = _POWERS / _POWERS.sum(axis=1, keepdims=True)


def plugin(base, token):
    """Return a plug-in of one of the clients that adds the token to every request."""

    class Token(base):
        def __call__(self, request):
            request.headers["authorization"] = f"Bearer {token}"

    return Token()


def digits_input(client, **binary):
    tensor = client.InferInput("x", list(X.shape), "FP32")
    tensor.set_data_from_numpy(X, **binary)
    return [tensor]


def words_inputs(client, **binary):
    n = client.InferInput("n", [2], "INT64")
    n.set_data_from_numpy(np.array([1, 2]), **binary)
    text = client.InferInput("text", [2], "BYTES")
    text.set_data_from_numpy(np.array(["a", "ü"], dtype=object), **binary)
    return [n, text]
