"""The model card: what is known of a registered version, as a page of Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from maas_jupyter.registry.details import VersionDetails
from maas_jupyter.registry.last_evaluation import Confusion, LastEvaluation
from maas_jupyter.registry.nouns import by_importance
from maas_jupyter.registry.origin import Origin
from maas_jupyter.schema import TensorSpec, write_atomic

#: What a card has room for.
_MOST_LABELS, _MOST_CLASSES, _MOST_VALUES = 40, 12, 8
#: Parameters of a run that its other words say already.
_SAID = ("task", "model", "data", "rows", "parameters", "python", "torch", "precision", "digest")
#: Parts of a signature's example request, by the beginning of its datatype.
_MORE = "and so on"
_EXAMPLES: dict[str, object] = {"FP": 0.0, "BYTES": "...", "BOOL": False}


@dataclass(frozen=True, repr=False)
class Card:
    """The card of a registered version; a notebook shows it as a page.

    Attributes
    ----------
    reference : str
        The version: ``digits/3``.
    text : str
        Markdown.
    """

    reference: str
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.text

    def save(self, path: str | Path) -> Path:
        """Write the card into a file, such as the ``README.md`` of a repository.

        Raises
        ------
        OSError
            If it cannot be written; what was there before stays.
        """
        file = Path(path).expanduser()
        write_atomic(file, self.text.encode())
        return file


def card_of(details: VersionDetails) -> Card:
    """Write the card of a version.

    What its owner wrote in MLflow comes first, that of the version before that of the model.
    """
    parts = [
        f"# {details.reference}",
        details.description.strip(),
        details.model_description.strip(),
        _summary(details),
        *_section("How to call it", _calls(details)),
        *_section("Inputs and outputs", _signature(details)),
        *_section("Metrics", _metrics(details)),
        *_section("Training", _training(details)),
        *_section("Lineage", _lineage(details)),
        *_section("Packages", _packages(details)),
        *_section("Not known", [f"- {_plain(each)}" for each in details.troubles]),
    ]
    return Card(details.reference, "\n\n".join(part for part in parts if part) + "\n")


def _section(title: str, lines: Iterable[str]) -> list[str]:
    found = [line for line in lines if line is not None]
    return [f"## {title}", "\n".join(found)] if found else []


def _summary(details: VersionDetails) -> str:
    facts = [
        ("Task", details.task),
        ("Precision", details.precision),
        ("Size", f"{details.size / 1000:,.1f} kB"),
        ("Parameters", "" if details.parameters is None else f"{details.parameters:,}"),
        ("Runtime", details.runtime),
        ("Registered", _day(details.created)),
        ("Aliases", ", ".join(f"@{alias}" for alias in details.aliases)),
        ("Made from", details.parent or ""),
        ("Digest", f"sha256:{details.digest[:16]}…"),
    ]
    return _table(("", ""), [(f"**{name}**", _plain(value)) for name, value in facts if value])


def _calls(details: VersionDetails) -> list[str]:
    lines = [
        *_code("python", f"%load_ext maas_jupyter\n%maas publish {details.reference}\n%maas predict {details.name} X"),
        "",
        "Without this package, where MLflow knows the registry:",
        "",
        *_code("python", f'import mlflow\n\nmodel = mlflow.pyfunc.load_model("models:/{details.reference}")'),
    ]
    if not details.inputs:
        return lines
    body = json.dumps({"inputs": [_example(each) for each in details.inputs]}).replace(f'"{_MORE}"', "...")
    request = (
        f'curl -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \\\n'
        f"  $SERVER/v2/models/{details.name}/infer -d '{body}'"
    )
    return [*lines, "", "Once it is published, over the Open Inference Protocol:", "", *_code("sh", request)]


def _example(spec: TensorSpec) -> dict[str, object]:
    shape = [1 if size < 0 else size for size in spec.shape]
    value = next((value for start, value in _EXAMPLES.items() if spec.datatype.startswith(start)), 0)
    count = 1
    for size in shape:
        count *= size
    # A row of a picture would fill pages.
    data = [value] * count if count <= _MOST_VALUES else [value, value, _MORE]
    return {"name": spec.name, "shape": shape, "datatype": spec.datatype, "data": data}


def _signature(details: VersionDetails) -> list[str]:
    rows = [
        (way, _name(spec.name), spec.datatype, _shape(spec), _plain(details.preprocessing.get(spec.name, "")))
        for way, specs in (("in", details.inputs), ("out", details.outputs))
        for spec in specs
    ]
    lines = [_table(("", "name", "datatype", "shape", "what the server makes of it"), rows)] if rows else []
    if details.labels:
        shown = ", ".join(map(_name, details.labels[:_MOST_LABELS]))
        more = len(details.labels) - _MOST_LABELS
        lines += ["", f"Classes: {shown}{f' and {more:,} more' if more > 0 else ''}"]
    return lines


def _metrics(details: VersionDetails) -> list[str]:
    lines = []
    if details.metrics:
        lines += [
            "What was measured before it was registered:",
            "",
            _table(
                ("metric", "value"), [(_name(name), f"{value:.5g}") for name, value in by_importance(details.metrics)]
            ),
        ]
    if details.evaluation is not None:
        lines += ["", *_evaluated(details.evaluation, details.reference)]
    if details.passed is not None:
        lines += ["", f"Gates: {'passed' if details.passed else 'not passed'}", ""]
        lines += [f"- {_plain(gate)}" for gate in details.gates]
    return lines


def _evaluated(evaluation: LastEvaluation, reference: str) -> list[str]:
    when = "" if evaluation.time is None else f", {_day(evaluation.time)}"
    of = "" if evaluation.subject == reference else f", of {_plain(evaluation.subject)}"
    rows = []
    for name, value in evaluation.metrics.items():
        ends = evaluation.intervals.get(name)
        rows.append((_name(name), f"{value:.4f}", "" if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}"))
    lines = [
        f"The last evaluation, on {evaluation.rows:,} rows{of}{when}:",
        "",
        _table(("metric", "value", "95 % interval"), rows),
    ]
    matrix = evaluation.confusion
    if matrix is not None and matrix.left_out == 0 and len(matrix.labels) <= _MOST_CLASSES:
        lines += ["", "How often each class (rows) was taken for which (columns):", "", _confusion(matrix)]
    return [*lines, *([""] if evaluation.notes else []), *(f"- {_plain(note)}" for note in evaluation.notes)]


def _confusion(matrix: Confusion) -> str:
    rows = [
        (_name(label), *(f"**{count:,}**" if place == column else f"{count:,}" for column, count in enumerate(counts)))
        for place, (label, counts) in enumerate(zip(matrix.labels, matrix.counts, strict=True))
    ]
    return _table(("", *map(_name, matrix.labels)), rows)


def _training(details: VersionDetails) -> list[str]:
    run = details.training
    if run is None:
        return []
    of = "" if details.trained_as == details.reference else f" as {details.trained_as}"
    params = run.params
    lines = [f"Run {_name(run.run_id[:8])} of {_day(run.started)}{of}."]
    if "data" in params:
        rows = f"{params['rows']} rows, " if "rows" in params else ""
        lines += ["", f"Data: {rows}fingerprint {_name(params['data'])}"]
    if run.commit:
        lines += ["", f"Code: commit {_name(run.commit[:12])}{', with changes on top' if run.uncommitted else ''}"]
    shown = [(_name(name), _plain(value)) for name, value in sorted(params.items()) if name not in _SAID and value]
    if shown:
        lines += ["", _table(("parameter", "value"), shown)]
    if run.command:
        lines += ["", *_code("python", run.command)]
    return lines


def _lineage(details: VersionDetails) -> list[str]:
    run: Origin | None = details.origin
    if details.parent is None or run is None:
        return []
    how = run.method or run.verb
    first = f"{details.trained_as} → … → " if details.trained_as not in (details.parent, details.reference) else ""
    lines = [f"{_plain(first)}{_plain(details.parent)} → **{details.reference}** by {_plain(how)}, {_day(run.started)}"]
    if run.command:
        lines += ["", *_code("python", run.command)]
    if details.comparison:
        lines += ["", "What was compared:", "", *_code("text", details.comparison.rstrip())]
    return lines


def _packages(details: VersionDetails) -> list[str]:
    return [", ".join(f"{name} {version}" for name, version in details.packages.items())] if details.packages else []


# -- Markdown ---------------------------------------------------------------------------------------------------------


def _plain(text: str) -> str:
    """Write words that are no Markdown, for a line or a cell of a table."""
    return re.sub(r"([\\`*_\[\]<>|~#&$])", r"\\\1", " ".join(str(text).split()))


def _name(text: str) -> str:
    """Write a name as it is spelled, for a line or a cell of a table."""
    words = " ".join(str(text).split())
    return f"`{words}`" if words and not re.search(r"[`|\\]", words) else _plain(words)


def _code(language: str, text: str) -> list[str]:
    longest = max((len(found) for found in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", text, fence]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _shape(spec: TensorSpec) -> str:
    return " x ".join("any" if size < 0 else str(size) for size in spec.shape)


def _day(time: float) -> str:
    return datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
