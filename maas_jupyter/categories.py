"""The values that a table's columns of texts had in training, and what is said of rows that have others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

_SHOWN = 3


def known_categories(graph: Path, columns: Sequence[str]) -> dict[str, list[str]]:
    """Return the known values by column, read from the graph of a packaged table that encodes them.

    Parameters
    ----------
    graph : Path
        The ONNX file of a bundle whose files were verified.
    columns : sequence of str
        Inputs of texts. Those whose values are not encoded are left out.
    """
    import onnx

    found = {}
    for node in onnx.load(graph, load_external_data=False).graph.node:
        if node.op_type == "LabelEncoder" and node.input[0] in columns:
            for attribute in node.attribute:
                if attribute.name == "keys_strings":
                    found[node.input[0]] = [key.decode() for key in attribute.strings]
    return found


def unknown_words(column: str, counts: Mapping[str, int], known: Collection[str]) -> str:
    """Say which values of a column no training row had; empty where all are known.

    Parameters
    ----------
    column : str
    counts : mapping of str to int
        In how many rows each value is; ``""`` stands for what is missing.
    known : collection of str
    """
    strange = [value for value in counts if value not in known]
    if not strange:
        return ""
    values = ", ".join("no value" if value == "" else f"'{value}'" for value in strange[:_SHOWN])
    more = f" and {len(strange) - _SHOWN:,} more" if len(strange) > _SHOWN else ""
    rows = sum(counts[value] for value in strange)
    return (
        f"'{column}' has {values}{more} in {rows:,} of the {sum(counts.values()):,} rows, which no training row has: "
        "they count as none of the known ones"
    )
