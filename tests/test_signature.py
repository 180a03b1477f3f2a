from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import Signature, TensorSpec
from maas_jupyter.signature import Validator, validate

shapes = st.lists(st.integers(0, 3), max_size=3)
datatypes = st.sampled_from([("FP32", np.float32), ("INT64", np.int64), ("BYTES", object)])


@given(
    st.dictionaries(st.sampled_from("abc"), st.tuples(datatypes, st.lists(st.sampled_from([-1, 1, 2, 3]), max_size=3))),
    st.dictionaries(st.sampled_from("abc"), st.tuples(datatypes, shapes)),
)
def test_a_validator_says_what_validate_says(specs, arrays):
    signature = Signature([TensorSpec(name, datatype, shape) for name, ((datatype, _), shape) in specs.items()], [])
    inputs = {name: np.zeros(shape, dtype) for name, ((_, dtype), shape) in arrays.items()}
    words = []
    for check in (lambda: validate(inputs, signature), lambda: Validator(signature)(inputs)):
        try:
            check()
            words.append("")
        except InvalidInput as error:
            words.append(str(error))
    assert words[0] == words[1]


def test_a_validator_counts_rows():
    signature = Signature([TensorSpec("a", "FP32", [-1, 2]), TensorSpec("b", "FP32", [])], [])
    assert Validator(signature)({"a": np.zeros((3, 2), np.float32), "b": np.zeros((), np.float32)}) == 3
    assert Validator(Signature([], []))({}) == 1
