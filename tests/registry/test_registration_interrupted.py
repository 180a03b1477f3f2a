from __future__ import annotations

import pytest
from mlflow import MlflowClient
from models import digits, mlp

import maas_jupyter
from maas_jupyter import config
from maas_jupyter.registry import Registry


@pytest.mark.parametrize("before", [True, False])
def test_an_interrupt_leaves_a_whole_version_or_none(home, monkeypatch, before):
    """However late it comes: what the registry lists can be fetched."""
    name = f"interrupted-{before}"
    create = MlflowClient.create_model_version

    def interrupted(*arguments, **options):
        if not before:
            create(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "create_model_version", interrupted)
        with pytest.raises(KeyboardInterrupt):
            maas_jupyter.register(mlp(), name=name, data=digits(60))
    registry = Registry(config.current())
    found = [] if before else [registry.resolve(name)]
    assert [version.reference for version in found] == ([] if before else [f"{name}/1"])
    for version in found:
        assert registry.fetch(version).digest == version.digest
