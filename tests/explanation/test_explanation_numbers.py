"""The numbers of an explanation, against captum, against definitions, and on models whose reasons are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients
from fitted import fitted
from models import cnn, digits, mlp, wine
from sklearn.datasets import load_breast_cancer
from subjects import explain_module, shapley
from torch import nn

from maas_jupyter.errors import InvalidInput

METHODS = ["integrated_gradients", "kernel_shap", "lime"]


def linear(inputs):
    torch.manual_seed(1)
    layer = nn.Linear(inputs, 1)
    return layer, layer.weight.detach().numpy()[0]


@pytest.mark.parametrize("features", [1, 6, 30])
@pytest.mark.parametrize("method", ["integrated_gradients", "kernel_shap"])
def test_a_linear_model_is_explained_by_its_weights(method, features):
    layer, weights = linear(features)
    X = np.random.default_rng(0).normal(size=(3, features)).astype("float32")
    baseline = np.linspace(-1, 1, features).astype("float32")
    explanation = explain_module(layer, X, method=method, baseline=baseline)
    for row, x in zip(explanation.rows, X, strict=True):
        np.testing.assert_allclose(row.attributions, weights * (x - baseline), atol=1e-4)
        assert row.error < 1e-4
        assert row.output == pytest.approx(float(weights @ x + layer.bias.item()), abs=1e-5)
        assert row.baseline_output == pytest.approx(float(weights @ baseline + layer.bias.item()), abs=1e-5)
        assert not row.warnings


def test_integrated_gradients_are_captums():
    X, y = wine()
    net = fitted(mlp(13, 3), X, targets=y)
    explanation = explain_module(net, X[:4], target=1)
    expected, delta = IntegratedGradients(lambda x: net(x).softmax(1)).attribute(
        torch.tensor(X[:4]), target=1, n_steps=50, return_convergence_delta=True
    )
    np.testing.assert_allclose(np.stack([row.attributions for row in explanation.rows]), expected, atol=1e-5)
    np.testing.assert_allclose([row.error for row in explanation.rows], delta.abs(), atol=1e-5)


class Interacting(nn.Module):
    def forward(self, x):
        return x[:, 0] * x[:, 1] + x[:, 2].relu() * x[:, 3] - x[:, 0] * x[:, 2] * x[:, 4]


def test_kernel_shap_of_few_features_is_exact():
    x = np.array([[1.0, 2.0, 3.0, -1.0, 0.5]], "float32")
    (row,) = explain_module(Interacting(), x, method="kernel_shap").rows

    def value(there):
        return float(Interacting()(torch.tensor(x) * torch.tensor(there))[0])

    np.testing.assert_allclose(row.attributions, shapley(value, 5), atol=1e-5)
    assert row.sampling_error == 0


def test_the_sampling_error_says_how_far_sampled_values_are_off():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(11, 16), nn.Tanh(), nn.Linear(16, 1))
    X = np.random.default_rng(0).normal(size=(2, 11)).astype("float32") * 3
    exact = explain_module(net, X, method="kernel_shap")
    sampled = explain_module(net, X, method="kernel_shap", samples=500)
    for known, found in zip(exact.rows, sampled.rows, strict=True):
        off = np.abs(known.attributions - found.attributions).max()
        assert 0 < off < 5 * found.sampling_error
        assert found.error < 1e-3  # right by construction, whatever the sampling error
    few = explain_module(net, X, method="kernel_shap", samples=30)
    assert "sampling error" in few[0].warnings[0]
    assert "--samples (now 30)" in few[0].warnings[0]


class OneFeature(nn.Module):
    def forward(self, x):
        return torch.sin(3 * x[:, 4])


@pytest.mark.parametrize("method", METHODS)
def test_the_one_feature_that_matters_is_found(method):
    X = np.random.default_rng(0).uniform(0.3, 0.5, size=(2, 20)).astype("float32")
    for row in explain_module(OneFeature(), X, method=method).rows:
        rest = np.delete(row.attributions, 4)
        assert row.attributions[4] == pytest.approx(row.difference, rel=0.03)
        assert np.abs(rest).max() < 0.01 * row.attributions[4]
        assert row.ranked()[0][0] == "column 4"


def test_lime_says_how_well_its_line_fits():
    layer, weights = linear(8)
    X = np.ones((1, 8), "float32")
    (row,) = explain_module(layer, X, method="lime").rows
    assert row.r2 > 0.999
    assert row.error is None
    np.testing.assert_allclose(row.attributions, weights, atol=0.01)

    class Parity(nn.Module):
        def forward(self, x):
            return torch.cos(np.pi * x.sum(1))

    (row,) = explain_module(Parity(), X, method="lime").rows
    assert row.r2 < 0.2
    assert "local fit" in row.warnings[0]


def test_breast_cancer_adds_up():
    X, y = load_breast_cancer(return_X_y=True)
    X = ((X - X.mean(0)) / X.std(0)).astype("float32")
    net = fitted(mlp(30, 2), X, targets=y)
    explanation = explain_module(net, X[:10], labels=["malignant", "benign"])
    for row in explanation.rows:
        assert row.error < 0.01 * max(abs(row.difference), 0.1)
        assert row.target == row.prediction
        assert 0.5 <= row.probability <= 1


class Steep(nn.Module):
    def forward(self, x):
        return (200 * (x.sum(1) - 1.5)).sigmoid()


def test_an_integral_that_did_not_converge_is_said():
    X = np.ones((1, 3), "float32")
    (row,) = explain_module(Steep(), X, samples=3).rows
    assert row.error > 0.05 * row.difference
    assert "raise --samples (now 3)" in row.warnings[0]
    (row,) = explain_module(Steep(), X, samples=2000).rows
    assert not row.warnings


@pytest.mark.parametrize("method", METHODS)
def test_the_heat_lies_where_the_ink_was_put(method):
    X, y = digits(300)
    pictures = X.reshape(-1, 1, 8, 8).copy()
    marked = y % 2
    pictures[marked == 1, 0, 1:3, 5:7] = 1.0
    pictures[marked == 0, 0, 1:3, 5:7] = 0.0
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 2))
    net = fitted(net, pictures, targets=marked, steps=60)
    explanation = explain_module(net, pictures[marked == 1][:2], method=method)
    assert explanation.kind == "image"
    for row in explanation.rows:
        heat = row.attributions
        assert heat.shape == (8, 8)
        assert row.picture.shape == (8, 8)
        inside = np.zeros((8, 8), dtype=bool)
        inside[1:3, 5:7] = True
        assert set(np.argsort(-heat.ravel())[:4]) == set(np.flatnonzero(inside))
        if method != "lime":
            assert heat.sum() == pytest.approx(row.difference, abs=0.02)


def test_black_places_add_nothing_on_a_black_ground():
    X, y = digits(300)
    pictures = X.reshape(-1, 1, 8, 8)
    net = fitted(cnn(), pictures, targets=y, steps=40, lr=0.01)
    for method in METHODS:
        (row,) = explain_module(net, pictures[:1], method=method, samples=300).rows
        assert (row.attributions[pictures[0, 0] == 0] == 0).all()


def test_large_pictures_are_explained_in_patches():
    torch.manual_seed(0)
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1))
    picture = np.random.default_rng(0).random((1, 3, 33, 50)).astype("float32")
    (row,) = explain_module(net, picture, method="kernel_shap", samples=400).rows
    assert row.attributions.shape == (33, 50)
    assert len(row.names) == 64
    assert row.attributions.sum() == pytest.approx(row.difference, abs=1e-4)
    (mean,) = explain_module(net, picture, method="kernel_shap", samples=400, baseline="mean").rows
    assert abs(mean.difference) < 1e-4


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_numbers(method):
    X, y = wine()
    net = fitted(mlp(13, 3), X, targets=y, steps=30)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second, other = (
        explain_module(net, X[:2], method=method, samples=200, seed=seed)[1].attributions for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, second)
    assert method == "integrated_gradients" or (first != other).any()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("method", METHODS)
def test_the_module_stays_as_it_was(method):
    X, _ = wine()
    net = nn.Sequential(nn.Linear(13, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    net[1].eval()
    state = {name: value.clone() for name, value in net.state_dict().items()}
    explain_module(net, X[:2], method=method, samples=200)
    assert [layer.training for layer in net] == [True, False, True, True]
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert not any(layer._forward_hooks for layer in net.modules())


def test_rows_that_are_the_baseline_have_nothing_to_explain():
    layer, _ = linear(4)
    (row,) = explain_module(layer, np.zeros((1, 4), "float32"), method="kernel_shap").rows
    assert (row.attributions == 0).all()
    assert "nothing to explain" in row.warnings[0]


def test_rows_can_be_the_baseline():
    layer, weights = linear(4)
    X = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
    explanation = explain_module(layer, X[:1], baseline=X)
    np.testing.assert_allclose(explanation[0].attributions, weights * (X[0] - X.mean(0)), atol=1e-5)
    assert explanation.baseline == "the mean of 50 given rows"


def test_very_many_features_are_explained_by_gradients_only():
    layer, weights = linear(30_000)
    X = np.ones((1, 30_000), "float32")
    np.testing.assert_allclose(explain_module(layer, X)[0].attributions, weights, atol=1e-5)
    with pytest.raises(InvalidInput, match="30,000 features are too many for lime") as caught:
        explain_module(layer, X, method="lime")
    assert "integrated_gradients" in caught.value.hint
