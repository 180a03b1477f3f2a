"""The values that a packaged table's columns of texts had, read from the graph that encodes them."""

from __future__ import annotations

from collections.abc import Sequence

from maas_jupyter.bundle import MODEL_FILE, Bundle

#: More are no choice that a person makes.
_MOST = 200


def categories_of(bundle: Bundle, columns: Sequence[str]) -> dict[str, list[str]]:
    """Return the known values by column; a column without any, or with very many, is left out.

    Parameters
    ----------
    bundle : Bundle
    columns : sequence of str
        Inputs of texts.
    """
    if MODEL_FILE not in bundle.manifest.files:
        return {}
    import onnx

    graph = onnx.load(bundle.folder / MODEL_FILE, load_external_data=False).graph
    found = {}
    for node in graph.node:
        if node.op_type == "LabelEncoder" and node.input[0] in columns:
            for attribute in node.attribute:
                if attribute.name == "keys_strings":
                    values = [key.decode() for key in attribute.strings if key]
                    if 0 < len(values) <= _MOST:
                        found[node.input[0]] = sorted(values)
    return found
