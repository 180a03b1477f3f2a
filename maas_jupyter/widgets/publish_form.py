"""Publishing by hand: which version, where, with which share of the traffic, and whether it passed its gates."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import traitlets

from maas_jupyter import api
from maas_jupyter.api.subjects import open_registry, open_target, target_names, to_name
from maas_jupyter.errors import InvalidInput, MaasError, NotFound
from maas_jupyter.widgets import html
from maas_jupyter.widgets.live import Errand, LiveWidget, error_html, front, style, told

if TYPE_CHECKING:
    from maas_jupyter.registry import ModelVersion
    from maas_jupyter.targets import Endpoint

_MODES = ("all", "canary", "shadow")


class PublishForm(LiveWidget):
    """A form that does what `maas_jupyter.publish` does.

    Parameters
    ----------
    model : str, Run or ModelVersion
        A registered model; the form begins with the version that a reference names, else with the champion, else with
        the newest.
    to : str, optional
        The target that the form begins with.

    Attributes
    ----------
    endpoint : Endpoint or None
        What was published last.
    """

    _esm = front("publish")
    _css = style()

    name = traitlets.Unicode().tag(sync=True)
    versions = traitlets.List().tag(sync=True)
    targets = traitlets.List().tag(sync=True)
    choice = traitlets.Dict().tag(sync=True)
    serving = traitlets.Dict().tag(sync=True)
    request = traitlets.Dict().tag(sync=True)
    busy = traitlets.Unicode().tag(sync=True)
    result = traitlets.Dict().tag(sync=True)

    def __init__(self, model: Any, *, to: str | None = None) -> None:
        self.endpoint: Endpoint | None = None
        self._errand = Errand()
        name = to_name(model)
        versions = [version for each in open_registry().models(name) for version in each.versions]
        first = _first(model, versions)
        target = open_target(to)
        super().__init__(
            name=name,
            versions=[_version(version) for version in versions],
            targets=target_names(),
            choice={"version": first, "to": target.name, "mode": "all", "canary": 10, "reason": ""},
        )
        self._look(target.name)
        self.observe(self._asked, "request")

    def publish(self, **choice: Any) -> dict[str, Any]:
        """Publish as the button does, and wait.

        Parameters
        ----------
        **choice
            What differs from the form's `choice`: ``version``, ``to``, ``mode`` (``all``, ``canary`` or ``shadow``),
            ``canary`` in percent, ``require_passed``, ``reason``.

        Returns
        -------
        dict
            What came of it: ``{"line": ..., "url": ...}`` or ``{"error": {"message": ..., "hint": ...}}``.
        """
        self._do({"do": "publish", **self.choice, **choice})
        return dict(self.result)

    def wait(self, seconds: float = 60.0) -> None:
        """Return when what was asked for in the browser is done."""
        self._errand.wait(seconds)

    def _asked(self, change: dict[str, Any]) -> None:
        if request := change["new"]:
            self._errand.do(lambda: self._do(request))

    def _do(self, request: dict[str, Any]) -> None:
        try:
            if request.get("do") == "look":
                self._look(str(request["to"]))
                return
            self.busy = f"publishing {self.name}/{request['version']} on {request['to']} …"
            self.choice = {key: value for key, value in request.items() if key not in ("do", "id")}
            self._publish(request)
        except MaasError as error:
            self.result = {"id": request.get("id"), "error": told(error)}
        except Exception as error:  # noqa: BLE001  # this is a thread: the cell shows what went wrong
            self.result = {"id": request.get("id"), "error": told(InvalidInput(f"{type(error).__name__}: {error}"))}
        finally:
            self.busy = ""
            self.refresh_twin()

    def _publish(self, request: dict[str, Any]) -> None:
        mode = request.get("mode", "all")
        if mode not in _MODES:
            raise InvalidInput(f"'{mode}' is no way to publish.", hint=f"It is one of {', '.join(_MODES)}.")
        self.endpoint = api.publish(
            f"{self.name}/{request['version']}",
            to=request["to"],
            canary=int(request["canary"]) if mode == "canary" else None,
            shadow=mode == "shadow",
            require_passed=bool(request.get("require_passed")),
            reason=str(request.get("reason") or ""),
        )
        self.serving = _serving(self.endpoint)
        self.result = {"id": request.get("id"), "line": self.endpoint.line, "url": self.endpoint.url}

    def _look(self, target: str) -> None:
        """Read what serves there now."""
        try:
            self.serving = _serving(open_target(target).endpoint(self.name))
        except NotFound:
            self.serving = {"target": target, "line": "", "weighted": 0}
        except MaasError as error:
            self.serving = {"target": target, "line": "", "weighted": 0, "error": told(error)}

    def static(self) -> dict[str, Any]:
        """Return the versions with their gates, and what was done last."""
        rows = [
            [
                f"<b>{html.text(each['version'])}</b>",
                " ".join(html.badge(f"@{alias}", "good") for alias in each["aliases"]),
                html.text(each["precision"]),
                html.text(each["measured"]),
                _gates(each["gates"]),
            ]
            for each in self.versions
        ]
        headers = ["version", "aliases", "precision", "measured", "gates"]
        now = self.serving.get("line") or f"{self.name} is not published on {self.serving.get('target')}"
        markup = html.heading(f"Publish {self.name}") + html.table(headers, rows) + f"<div>{html.text(now)}</div>"
        words = [f"Publish {self.name}: versions {', '.join(each['version'] for each in self.versions)}", now]
        if error := self.result.get("error"):
            markup += error_html(error)
            words.append(error["message"])
        elif self.result:
            markup += f"<div>{html.badge('published', 'good')} {html.text(self.result['url'])}</div>"
            words.append(f"published: {self.result['url']}")
        return html.bundle(markup, "\n".join(words))


def _first(model: Any, versions: list[ModelVersion]) -> str:
    """Return the version that the form begins with."""
    named = getattr(model, "version", None)
    named = getattr(named, "version", named)
    if isinstance(model, str) and model.removeprefix("models:/").count("/") + model.count("@"):
        named = open_registry().resolve(model).version
    if named is not None:
        return str(named)
    champion = next((each.version for each in versions if "champion" in each.aliases), None)
    return champion or versions[0].version


def _version(version: ModelVersion) -> dict[str, Any]:
    verdict = version.verdict
    gates = None
    if verdict is not None:
        day = datetime.fromtimestamp(verdict.time).strftime("%Y-%m-%d %H:%M")
        gates = {"passed": verdict.passed, "gates": verdict.gates, "rows": verdict.rows, "time": day}
    return {
        "version": version.version,
        "aliases": version.aliases,
        "precision": version.precision,
        "size": html.kilobytes(version.size),
        "measured": f"{version.headline[0]} {version.headline[1]:.4f}" if version.headline else "",
        "parent": version.parent or "",
        "gates": gates,
        "refused": version.refused,
    }


def _gates(gates: dict[str, Any] | None) -> str:
    if gates is None:
        return '<span style="opacity:.8">never judged</span>'
    words = "passed" if gates["passed"] else "failed"
    listed = "; ".join(gates["gates"])
    return f"{html.badge(words, 'good' if gates['passed'] else 'bad')} {html.text(listed)} on {gates['rows']:,} rows"


def _serving(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "target": endpoint.target,
        "line": endpoint.line,
        "weighted": sum(1 for row in endpoint.traffic if row.weight and row.state == "ready"),
        "versions": [row.version for row in endpoint.traffic if row.weight],
    }
