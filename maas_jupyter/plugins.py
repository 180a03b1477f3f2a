"""Parts that are chosen by name: one table, imported on use, each with the sentence that installs it.

Packages add to the table with entry points in the group ``maas_jupyter.<kind>``.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from typing import Any

from maas_jupyter.errors import MissingDependency, NotFound, nearest


@dataclass(frozen=True)
class Plugin:
    """Where a part lives (``"module:attribute"``) and what to do when it cannot be imported."""

    path: str
    install: str = ""


BUILTIN: dict[str, dict[str, Plugin]] = {
    "target": {
        "local": Plugin("maas_jupyter.targets.local:LocalTarget"),
    },
    "runtime": {
        "onnx": Plugin("maas_jupyter.serving.runtimes.onnx:OnnxRuntime", "pip install onnxruntime"),
        "openvino": Plugin(
            "maas_jupyter.serving.runtimes.openvino:OpenVinoRuntime", "pip install 'maas-jupyter[openvino]'"
        ),
    },
    "optimizer": {
        **{
            name: Plugin(f"maas_jupyter.optimization.quantize:{method}", "pip install onnx onnxruntime")
            for name, method in (
                ("fused", "Fused"),
                ("dynamic-int8", "DynamicInt8"),
                ("dynamic-int8-conv", "DynamicInt8WithConvolutions"),
                ("static-int8", "StaticInt8"),
                ("static-int8-entropy", "StaticInt8Entropy"),
                ("static-int8-percentile", "StaticInt8Percentile"),
                ("weight-int8", "WeightInt8"),
                ("weight-int4", "WeightInt4"),
            )
        },
        **{
            name: Plugin(f"maas_jupyter.optimization.openvino:{method}", "pip install 'maas-jupyter[openvino]'")
            for name, method in (
                ("openvino", "OpenVino"),
                ("openvino-bf16", "OpenVinoBf16"),
                ("openvino-fp16", "OpenVinoFp16"),
                ("openvino-int8", "OpenVinoInt8"),
            )
        },
        "magnitude-pruning": Plugin("maas_jupyter.optimization.prune:MagnitudePruning"),
        "structured-pruning": Plugin(
            "maas_jupyter.optimization.prune:StructuredPruning", "pip install 'maas-jupyter[prune]'"
        ),
        "distillation": Plugin("maas_jupyter.optimization.distil:Distillation"),
    },
    "explainer": {
        name: Plugin(f"maas_jupyter.explanation.methods:{name}", "pip install 'maas-jupyter[explain]'")
        for name in ("integrated_gradients", "kernel_shap", "lime")
    },
    # What a result looks like and how a long verb shows itself: drawn by a face, asked for from below by name.
    "display": {
        "Run": Plugin("maas_jupyter.widgets.run:render"),
        "Tuning": Plugin("maas_jupyter.widgets.tuning:render"),
        "Evaluation": Plugin("maas_jupyter.widgets.evaluation:render"),
        "Verdict": Plugin("maas_jupyter.widgets.evaluation:render_verdict"),
        "PairedComparison": Plugin("maas_jupyter.widgets.paired:render"),
        "Explanation": Plugin("maas_jupyter.widgets.explanation:render"),
        "Exported": Plugin("maas_jupyter.widgets.export:render"),
        "Comparison": Plugin("maas_jupyter.widgets.comparison:render"),
        "ModelVersion": Plugin("maas_jupyter.widgets.registry:render_version"),
        "ModelList": Plugin("maas_jupyter.widgets.registry:render_models"),
        "RunList": Plugin("maas_jupyter.widgets.registry:render_runs"),
        "RunComparison": Plugin("maas_jupyter.widgets.run:render_comparison"),
        "Endpoint": Plugin("maas_jupyter.widgets.endpoint:render_endpoint"),
        "EndpointList": Plugin("maas_jupyter.widgets.endpoint:render_endpoints"),
        "EndpointMetrics": Plugin("maas_jupyter.widgets.endpoint:render_metrics"),
        "Prediction": Plugin("maas_jupyter.widgets.endpoint:render_prediction"),
        "LogLines": Plugin("maas_jupyter.widgets.endpoint:render_logs"),
        "History": Plugin("maas_jupyter.widgets.targets:render_history"),
        "Notice": Plugin("maas_jupyter.widgets.targets:render_notice"),
        "TargetStatus": Plugin("maas_jupyter.widgets.targets:render_target"),
        "TargetList": Plugin("maas_jupyter.widgets.targets:render_targets"),
    },
    # What answers to the user's hand in a cell; live where a front end for widgets is.
    "widget": {
        name: Plugin(f"maas_jupyter.widgets.{path}", "pip install anywidget")
        for name, path in (
            ("endpoint", "endpoint_view:EndpointView"),
            ("playground", "playground:Playground"),
            ("publish", "publish_form:PublishForm"),
            ("comparison", "comparison_view:ComparisonView"),
        )
    },
    "view": {
        "tuning": Plugin("maas_jupyter.widgets.tuning:TuningView"),
        "training": Plugin("maas_jupyter.widgets.training:TrainingView"),
        "progress": Plugin("maas_jupyter.widgets.progress:ProgressView"),
        "result": Plugin("maas_jupyter.widgets.result:show"),
    },
}


@cache
def available(kind: str) -> dict[str, Plugin]:
    """Return every known part of a kind, installed ones included, by name."""
    # Takes time and memory, which the processes of a server are short of, and most only need what is built in.
    from importlib.metadata import entry_points

    found = dict(BUILTIN.get(kind, {}))
    for entry in entry_points(group=f"maas_jupyter.{kind}"):
        found[entry.name] = Plugin(entry.value, f"pip install {entry.dist.name}" if entry.dist else "")
    return found


def load(kind: str, name: str) -> Any:
    """Import a part by name.

    Raises
    ------
    NotFound
        If no part of this kind has the name; the hint offers the nearest ones.
    MissingDependency
        If the part exists but something that it needs is not installed; the hint is the command that installs it.
    """
    plugin = BUILTIN.get(kind, {}).get(name) or available(kind).get(name)
    if plugin is None:
        raise NotFound(
            f"There is no {kind} called '{name}'.",
            hint=nearest(name, available(kind), what=f"{kind}s", otherwise=f"No {kind} is installed."),
        )
    module, _, attribute = plugin.path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("maas_jupyter"):
            raise
        raise MissingDependency(
            f"The {kind} '{name}' needs the package '{error.name}'.", hint=plugin.install
        ) from error


class Displayed:
    """Gives a noun its rich display: the face registered under the class's name draws it."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle: dict[str, Any] = load("display", type(self).__name__)(self)
        return bundle
