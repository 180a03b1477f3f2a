"""Trying an endpoint by hand: a form made from its signature, and what it answers."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from maas_jupyter.api.playing import known_of
from maas_jupyter.api.subjects import to_endpoint
from maas_jupyter.errors import InvalidInput, MaasError, NotFound, Unavailable
from maas_jupyter.widgets import form, html
from maas_jupyter.widgets.live import Errand, LiveWidget, error_html, front, style, told

if TYPE_CHECKING:
    from maas_jupyter.targets import Endpoint, Prediction

_THUMB = "height:24px;display:inline-block;vertical-align:middle;image-rendering:pixelated;margin:0"
_NOTHING = "(nothing)"
_MOST_BARS, _MOST_TRIES, _MOST_VALUES = 10, 20, 64


class Playground(LiveWidget):
    """A form for one row, the answer's scores as bars, and what was tried before.

    The requests go from the kernel to the endpoint.

    Parameters
    ----------
    endpoint : Endpoint
        What is asked.
    ink : float
        For drawings and image files that become numbers: the number of a point that is fully drawn, or white.

    Attributes
    ----------
    answer : dict
        What came last; ``{}`` before the first try.
    tries : list of dict
        What came before, the newest first.
    code : str
        Python that asks the same as the last try.
    prediction : Prediction or None
        The last answer as `Endpoint.predict` returns it.
    """

    _esm = front("drawing", "playground")
    _css = style()

    title = traitlets.Unicode().tag(sync=True)
    note = traitlets.Unicode().tag(sync=True)
    fields = traitlets.List().tag(sync=True)
    versions = traitlets.List().tag(sync=True)
    scale = traitlets.Float(1.0).tag(sync=True)
    request = traitlets.Dict().tag(sync=True)
    answer = traitlets.Dict().tag(sync=True)
    tries = traitlets.List().tag(sync=True)
    code = traitlets.Unicode().tag(sync=True)

    def __init__(self, endpoint: Endpoint, *, ink: float = 1.0) -> None:
        signature = endpoint.described()
        if signature is None:
            raise Unavailable(
                f"{endpoint.name} does not serve: what it takes is not known.",
                hint=endpoint.reason or f"%maas publish {endpoint.name}",
            )
        self.prediction: Prediction | None = None
        self._endpoint, self._signature = endpoint, signature
        self._known = known_of(endpoint)
        self._errand = Errand()
        super().__init__(
            title=f"{endpoint.name} on {endpoint.target}",
            note=self._known.note,
            fields=[each.as_dict() for each in form.fields_of(signature, self._known)],
            versions=_versions(endpoint),
            scale=float(ink),
        )
        self.observe(self._asked, "request")

    def ask(self, values: dict[str, Any], version: str = "") -> dict[str, Any]:
        """Ask the endpoint as the form does, and wait for the answer.

        Parameters
        ----------
        values : dict of str to dict
            For each input ``{"kind": "number", "value": 1}``; the kinds are those of `fields`.
        version : str
            One version; by the endpoint's traffic where it is empty.

        Returns
        -------
        dict
            The `answer`.
        """
        self._answer({"id": time.time(), "values": values, "version": version})
        return dict(self.answer)

    def wait(self, seconds: float = 60.0) -> None:
        """Return when what was asked for in the browser is answered."""
        self._errand.wait(seconds)

    def _asked(self, change: dict[str, Any]) -> None:
        if request := change["new"]:
            self._errand.do(lambda: self._answer(request))

    def _answer(self, request: dict[str, Any]) -> None:
        values, version = request.get("values") or {}, request.get("version") or None
        answer: dict[str, Any] = {"id": request.get("id"), "time": time.time(), "given": _given(values)}
        answer["picture"] = form.thumbnail(values)
        try:
            inputs = form.inputs_of(values, self._signature, self._known, float(request.get("ink") or self.scale))
            before = time.perf_counter()
            found = self._endpoint.predict(inputs, version)
            answer["ms"] = (time.perf_counter() - before) * 1e3
            self.code = self._code(values, inputs, version)
            self.prediction = found
            answer.update(_read(found, self._known.labels))
            if found.version not in self.versions:
                self._look_again()
        except (NotFound, Unavailable) as error:
            answer["error"] = told(self._look_again() or error)
        except MaasError as error:
            answer["error"] = told(error)
        except Exception as error:  # noqa: BLE001  # this is a thread: the cell shows what went wrong
            answer["error"] = told(InvalidInput(f"{type(error).__name__}: {error}"))
        self.tries = [answer, *self.tries][:_MOST_TRIES]
        self.answer = answer
        self.refresh_twin()

    def _look_again(self) -> MaasError | None:
        """See which versions there are now; return an error where it was withdrawn."""
        name, target = self._endpoint.name, self._endpoint.target
        try:
            self.versions = _versions(to_endpoint(name, target))
        except NotFound:
            self.versions = []
            return Unavailable(f"{self.title} is not published any more.", hint=f"%maas publish {name}")
        except MaasError:
            return None  # the error of the request says it
        return None

    def _code(self, values: dict[str, Any], inputs: dict[str, Any], version: str | None) -> str:
        files = any(isinstance(value, list) and isinstance(value[0], bytes) for value in inputs.values())
        lines = ["from pathlib import Path", ""] if files else []
        chosen = {key: values[key]["value"] for key in inputs if values[key].get("kind") == "file"}
        names = {key: str(file.get("name", "image.png")) for key, file in chosen.items()}
        name = f"{self._endpoint.name}/{version}" if version else self._endpoint.name
        where = "" if self._endpoint.target == "local" else f", on={self._endpoint.target!r}"
        pairs = ",\n".join(
            f"    {key!r}: {form.shown(value, names.get(key, 'image.png'))}" for key, value in inputs.items()
        )
        lines += ["import maas_jupyter", "", f"inputs = {{\n{pairs},\n}}"]
        lines += [f"answer = maas_jupyter.predict({name!r}, inputs{where})", "answer"]
        return "\n".join(lines)

    def static(self) -> dict[str, Any]:
        """Return the last answer and the tries as a table."""
        answer = self.answer
        if not answer:
            names = ", ".join(f"{each['name']} ({each['spec']})" for each in self.fields)
            markup = html.heading(self.title, "not asked yet") + f"<div>takes {html.text(names)}</div>"
            return html.bundle(markup, f"{self.title}: takes {names}; not asked yet")
        rows = [_row(each) for each in self.tries]
        table = html.table(["answer", "score", "", "version", "took", ""], rows, numbers=(1, 4))
        markup = html.heading(self.title, "what was tried, the newest first")
        markup += f'<div style="overflow-x:auto">{table}</div>'
        if self.code:
            markup += f"<details><summary>the last one as code</summary><pre>{html.text(self.code)}</pre></details>"
        return html.bundle(markup, "\n".join([f"{self.title}, the newest first:", *map(_line, self.tries)]))


def _versions(endpoint: Endpoint) -> list[str]:
    return [row.version for row in endpoint.traffic if row.version and row.state == "ready"]


def _row(answer: dict[str, Any]) -> list[str]:
    picture = f'<img src="data:image/png;base64,{answer["picture"]}" alt="" height="24" style="{_THUMB}"> '
    given = (picture if answer["picture"] else "") + f'<span style="opacity:.8">{html.text(answer["given"])}</span>'
    if "error" in answer:
        return [error_html(answer["error"]), "", "", "", "", given]
    given += "".join(f"<div>{html.badge('note', 'warn')} {html.text(note)}</div>" for note in answer["notes"])
    shown = ["", ""]
    if scores := answer["scores"]:
        best = scores[0][1]
        shown = [_score(best), "" if best is None else html.bar(best)]
    took = f"{answer['ms']:.1f} ms"
    return [f"<b>{html.text(answer['label'])}</b>", *shown, html.text(answer["version"]), took, given]


def _line(answer: dict[str, Any]) -> str:
    if "error" in answer:
        return f"  {answer['given']}: {answer['error']['message']}"
    score = f" {_score(answer['scores'][0][1])}" if answer["scores"] else ""
    said = f"  {answer['given']}: {answer['label']}{score}, version {answer['version']}, {answer['ms']:.1f} ms"
    return "\n".join([said, *(f"    note: {note}" for note in answer["notes"])])


def _score(score: float | None) -> str:
    return "no number" if score is None else f"{score:.4f}"


def _given(values: dict[str, Any]) -> str:
    """Say in a few words what was given."""
    words = []
    for name, each in values.items():
        if not isinstance(each, dict):
            continue
        kind, value = each.get("kind"), each.get("value")
        if kind == "drawing":
            text = "a drawing"
        elif kind == "file":
            text = str(value.get("name", "a file")) if isinstance(value, dict) else "no file"
        else:
            text = ", ".join(str(part) or _NOTHING for part in (value if isinstance(value, list) else [value]))
        text = text if len(text) <= 40 else f"{text[:40]} …"
        words.append(text if len(values) == 1 else f"{name} {text}")
    return ", ".join(words) if len(words) <= 4 else ", ".join(words[:4]) + f" and {len(words) - 4} more"


def _read(found: Prediction, labels: list[str]) -> dict[str, Any]:
    """Return an answer's first row as JSON."""
    read: dict[str, Any] = {"version": found.version, "request_id": found.request_id, "notes": found.notes}
    read.update(scores=[], outputs={})
    if found.labels is not None and found.scores is not None and found.scores.ndim == 2:
        row = found.scores[0]
        names = labels if len(labels) == len(row) else [str(index) for index in range(len(row))]
        order = np.argsort(-row, kind="stable")[:_MOST_BARS]
        read["label"] = _text(found.labels[0]) or _NOTHING
        read["scores"] = [[names[index], _finite(row[index])] for index in order]
        read["classes"] = len(row)
        return read
    outputs = {name: _value(value[0] if value.ndim else value) for name, value in found.outputs.items()}
    read["outputs"] = outputs
    first = next(iter(outputs.values()), "")
    read["label"] = (f"{first:.6g}" if isinstance(first, float) else str(first)[:80]) or _NOTHING
    return read


def _value(value: Any) -> Any:
    array = np.asarray(value)
    if array.size == 1:
        single = array.reshape(-1)[0]
        return _text(single) if array.dtype.kind in "OSU" else _number(single)
    flat = array.reshape(-1)[:_MOST_VALUES]
    text = ", ".join(_text(each) if array.dtype.kind in "OSU" else f"{each:.4g}" for each in flat)
    return f"[{text}{', …' if array.size > _MOST_VALUES else ''}]"


def _number(value: Any) -> float | int | str:
    if isinstance(value, np.integer | np.bool_):
        return int(value)
    return float(value) if math.isfinite(value) else str(value)


def _finite(score: Any) -> float | None:
    """Return a score as JSON can hold it; None for what is no number."""
    return float(score) if math.isfinite(score) else None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
