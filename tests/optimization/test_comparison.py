"""One comparison: candidates made by plug-ins, measured in processes of their own, judged, and the winner kept."""

from __future__ import annotations

import importlib
import os
import re
import signal
import textwrap

import pytest
import torch
from models import digits, mlp
from msgspec import structs

import maas_jupyter
from maas_jupyter import config, plugins
from maas_jupyter.bundle import Bundle
from maas_jupyter.data import as_source
from maas_jupyter.errors import BundleError, InvalidInput, NotFound, UsageError
from maas_jupyter.evaluation.predict import served_inputs
from maas_jupyter.optimization.measure import Stand, measure_speeds
from maas_jupyter.packaging import package
from maas_jupyter.registry import Registry

#: A distribution with methods and a runtime, as somebody else would publish it.
DISTRIBUTION = '''
import os, shutil
import msgspec, torch
from torch import nn
from maas_jupyter.bundle import Bundle
from maas_jupyter.errors import ExportError
from maas_jupyter.packaging import package
from maas_jupyter.serving.runtimes.onnx import OnnxRuntime

class Method:
    description, family, seconds = "for tests", "other", 0.1
    def applies_to(self, original):
        return True
    def run(self, original, folder):
        raise ExportError("This graph has no layer to share.", hint="Take another method.")
    def copy(self, original, folder, **changes):
        manifest = original.bundle.manifest
        for name in manifest.files:
            shutil.copyfile(original.bundle.folder / name, folder / name)
        changed = msgspec.structs.replace(manifest, parent=original.bundle.digest, **changes)
        return Bundle.seal(folder, changed, manifest.files)

class Shrunk(Method):
    """A far smaller network, which is sure to win where quality does not matter."""
    name = "shrunk"
    def run(self, original, folder):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(64, 2), nn.ReLU(), nn.Linear(2, 10))
        made = package(net, (torch.rand(4, 64),), folder, task="classification").bundle
        changed = msgspec.structs.replace(made.manifest, parent=original.bundle.digest)
        return Bundle.seal(folder, changed, made.manifest.files)

class Same(Method):
    name = "same"
    def run(self, original, folder):
        return self.copy(original, folder)

class Crashing(Method):
    name = "crashing"
    def run(self, original, folder):
        return self.copy(original, folder, runtime="crashing")

class Stubborn(Method):
    name = "stubborn"
    def run(self, original, folder):
        raise ExportError("This graph has a loop.", hint="Unroll it.")

class Absent(Method):
    name = "absent"
    def applies_to(self, original):
        return False

class Interrupted(Method):
    name = "interrupted"
    seconds = 5.0
    def run(self, original, folder):
        raise KeyboardInterrupt

class Slow(Method):
    name = "slow"
    seconds = 1e6

class CrashingRuntime(OnnxRuntime):
    def run(self, inputs):
        if len(next(iter(inputs.values()))) > 1:
            os.abort()
        return super().run(inputs)
'''
METHODS = ("Shrunk", "Same", "Crashing", "Stubborn", "Absent", "Interrupted", "Slow")


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Somebody's package with methods, installed, and a registered network that leaves much to be gained."""
    place = tmp_path_factory.mktemp("site")
    (place / "other_methods-1.0.dist-info").mkdir()
    (place / "other_methods.py").write_text(textwrap.dedent(DISTRIBUTION))
    (place / "other_methods-1.0.dist-info" / "METADATA").write_text("Name: other-methods\nVersion: 1.0\n")
    entries = ["[maas_jupyter.optimizer]", *(f"{name.lower()} = other_methods:{name}" for name in METHODS)]
    entries += ["[maas_jupyter.runtime]", "crashing = other_methods:CrashingRuntime"]
    (place / "other_methods-1.0.dist-info" / "entry_points.txt").write_text("\n".join(entries))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(place)
        patch.setenv("PYTHONPATH", str(place), prepend=os.pathsep)
        patch.setenv("MAAS_HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        plugins.available.cache_clear()
        yield maas_jupyter.register(mlp(64, 10, hidden=2048), name="wide", data=digits())
    plugins.available.cache_clear()


@pytest.fixture(scope="module")
def comparison(wide):
    """All that may come of a method, in one comparison."""
    methods = ("same", "crashing", "stubborn", "absent", "shrunk", "slow")
    return optimize(*methods, budget=600, source="%maas optimize wide --data rows")


def versions():
    return maas_jupyter.models("wide")[0].versions


def by_method(comparison):
    return {candidate.method: candidate for candidate in comparison.candidates}


def optimize(*methods, **options):
    return maas_jupyter.optimize("wide/1", data=digits(), method=methods, max_drop=1.0, **options)


def test_a_winner_is_registered_with_its_parent_its_measurements_and_its_code(comparison):
    assert comparison.winner.method == "shrunk"
    assert "smaller" in comparison.winner.reason
    version = comparison.version
    assert (version.reference, version.parent) == ("wide/2", "wide/1")
    assert version in versions()
    assert version.metrics["accuracy"] == pytest.approx(comparison.winner.measured.quality.metric)
    registry = Registry(config.current())
    bundle = registry.fetch(version)
    assert bundle.manifest.parent == registry.resolve("wide/1").digest
    assert bundle.manifest.measurements["p95_ms"] >= bundle.manifest.measurements["p50_ms"] > 0
    assert maas_jupyter.evaluate("wide/2", data=digits()).metrics["accuracy"] == pytest.approx(
        version.metrics["accuracy"]
    )
    assert comparison.command == "%maas optimize wide --data rows"


def test_every_row_holds_what_was_measured_of_it(comparison):
    rows = by_method(comparison)
    original, same, shrunk = (rows[name].measured for name in ("original", "same", "shrunk"))
    assert same.quality.max_difference == 0
    assert same.quality.agreement == 1
    assert same.quality.change == 0
    assert same.size == original.size
    assert shrunk.size < original.size / 10
    assert shrunk.quality.change_interval is not None
    for measured in (original, same, shrunk):
        speed, quality = measured.speed, measured.quality
        assert 0 < speed.p50_ms <= speed.p95_ms
        assert 1 <= speed.batch_size <= 64
        assert quality.interval.low <= quality.metric <= quality.interval.high
    assert comparison.rows == len(digits()[0])


def test_what_crashes_or_cannot_be_made_is_shown_and_the_others_go_on(comparison):
    rows = by_method(comparison)
    assert list(rows) == ["original", "same", "crashing", "stubborn", "absent", "shrunk", "slow"]
    assert rows["crashing"].verdict == rows["stubborn"].verdict == rows["absent"].verdict == "failed"
    assert "crashed with SIGABRT" in rows["crashing"].reason
    assert rows["stubborn"].reason == "This graph has a loop."
    assert rows["absent"].reason == "This graph has no layer to share."


def test_what_does_not_fit_into_the_budget_is_not_tried(comparison):
    skipped = by_method(comparison)["slow"]
    assert (skipped.verdict, skipped.reason) == ("skipped", "it would not fit into what was left of 600 s")


def test_the_display_holds_a_row_for_each_candidate_and_the_front(comparison):
    bundle = comparison._repr_mimebundle_()
    for candidate in comparison.candidates:
        assert candidate.method in bundle["text/plain"]
        assert f">{candidate.verdict}</span>" in bundle["text/html"]
    assert "data:image/svg+xml" in bundle["text/html"]
    assert re.search(r'title="shrunk: [\d.]+ ms, accuracy', bundle["text/html"])


def test_an_interrupt_keeps_what_was_finished_and_registers_nothing(wide):
    before = versions()
    comparison = optimize("shrunk", "stubborn", "interrupted", "same")
    assert comparison.interrupted
    assert list(by_method(comparison)) == ["original", "shrunk", "stubborn"]
    assert comparison.candidates[1].measured.quality.metric > 0
    assert "Interrupted" in comparison.conclusion
    assert versions() == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"target": ("p50<1us",)}, "misses: p50<1us"),
        ({"target": ("size<1kB",)}, "misses: size<1kB"),
        ({"require": ("accuracy>=0.99",)}, "worse: accuracy>=0.99"),
    ],
)
def test_where_nothing_reaches_what_was_asked_for_the_closest_is_named(wide, options, said):
    before = versions()
    comparison = optimize("shrunk", **options)
    assert comparison.winner is None
    assert said in repr(comparison)
    assert "nothing was registered. The closest is shrunk" in comparison.conclusion
    assert versions() == before


def test_a_candidate_that_loses_too_much_is_not_timed(wide):
    comparison = maas_jupyter.optimize("wide/1", data=digits(), method=("shrunk",), max_drop=-2.0)
    assert comparison.candidates[1].verdict == "worse"
    assert comparison.candidates[1].measured.speed is None
    assert "allowed is -2" in repr(comparison)


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"budget": 0}, UsageError, "--budget"),
        ({"budget": float("nan")}, UsageError, "--budget"),
        ({"target": ("one", "two")}, UsageError, "two target columns"),
        ({"target": ("p95<fast",)}, UsageError, "cannot be read"),
        ({"require": ("accuracy>",)}, UsageError, "cannot be read"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_before_anything_is_made(wide, options, kind, said):
    with pytest.raises(kind, match=said):
        optimize("shrunk", **options)


def test_an_unknown_method_offers_the_nearest(wide):
    with pytest.raises(NotFound, match="no optimizer called 'shrunken'") as caught:
        optimize("shrunken")
    assert "shrunk" in caught.value.hint


def test_what_is_quantized_already_is_not_quantized_again(wide, bundle):
    quantized = structs.replace(bundle.manifest, precision="int8")
    maas_jupyter.register(Bundle.seal(bundle.folder, quantized, bundle.manifest.files), name="small")
    for verb in (maas_jupyter.quantize, maas_jupyter.optimize):
        with pytest.raises(InvalidInput, match=r"small/1 is int8 already"):
            verb("small", data=digits())


def test_a_method_may_be_a_class_of_the_notebook(wide):
    other_methods = importlib.import_module("other_methods")

    class Mine(other_methods.Shrunk):
        name = "mine"

    assert by_method(optimize(Mine))["mine"].verdict in ("winner", "good")
    with pytest.raises(UsageError, match="it has no name"):
        optimize(object)


def test_a_model_without_a_metric_cannot_be_compared(wide, tmp_path):
    answers = package(mlp(64, 10), (torch.rand(4, 64),), tmp_path / "raw", task="tensor").bundle
    maas_jupyter.register(answers, name="raw")
    with pytest.raises(InvalidInput, match="task 'tensor' cannot be evaluated"):
        maas_jupyter.optimize("raw", data=digits())


@pytest.mark.parametrize("verb", ["prune", "distil"])
def test_a_version_without_its_torch_module_cannot_be_trained_smaller(wide, verb):
    with pytest.raises(UsageError, match="'wide/1' is not a run of this notebook") as caught:
        getattr(maas_jupyter, verb)("wide/1", data=digits())
    assert f"%maas {verb} run" in caught.value.hint


# -- the stand --------------------------------------------------------------------------------------------------------


@pytest.fixture
def bundle(tmp_path):
    return package(mlp(64, 10), (torch.rand(4, 64),), tmp_path / "bundle", task="classification").bundle


def test_a_process_that_is_killed_fails_its_candidate_alone(bundle):
    with Stand(bundle, 1) as healthy, Stand(bundle, 1) as dying:
        rows = served_inputs(bundle.manifest, as_source(digits(), name="data"), 16)
        for stand in (healthy, dying):
            stand.hold(rows)
        os.kill(dying._process.pid, signal.SIGKILL)
        speeds, failed = measure_speeds(
            {"healthy": healthy, "dying": dying}, largest_batch=4, on_step=lambda words: None
        )
    assert list(speeds) == ["healthy"]
    assert "crashed with SIGKILL" in failed["dying"].message


def test_a_bundle_that_cannot_be_loaded_says_why(bundle):
    (bundle.folder / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"model\.onnx"):
        Stand(bundle, 1)
