"""What is deleted is gone with its files; what others need stays."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from models import mlp, wine
from torch import nn

import maas_jupyter
from maas_jupyter import config
from maas_jupyter.errors import Conflict, NotFound, UsageError
from maas_jupyter.registry import Registry

sys.path.insert(0, str(Path(__file__).parents[1] / "targets"))

from remote_server import ADMIN, RemoteServer


@pytest.fixture
def registry(home):
    return Registry(config.current())


def register(name, count=1):
    return [maas_jupyter.register(mlp(13, 3), name=name, data=wine()) for _ in range(count)]


def folder_of(version):
    return Path(version.source.removeprefix("file://"))


def test_a_version_goes_with_its_files_and_aliases(registry):
    first, second = register("going", 2)
    maas_jupyter.alias("going/1", "best")
    kept = registry.fetch(first).folder
    assert folder_of(first).is_dir()
    with pytest.raises(UsageError, match=r"going/1 and @best @champion, which point there") as refused:
        maas_jupyter.delete("going@best")
    assert refused.value.hint.endswith("%maas delete going/1 --confirm going/1")
    assert str(maas_jupyter.delete("going@best", confirm="going/1")) == "going/1 was deleted."
    assert not folder_of(first).exists()
    assert first.digest == second.digest
    assert kept.is_dir()
    assert folder_of(second).is_dir()
    assert [version.aliases for version in maas_jupyter.models("going")[0].versions] == [[]]
    with pytest.raises(NotFound):
        maas_jupyter.delete("going/1", confirm="going/1")
    # Its number is not given again, and what is registered next becomes the champion.
    (third,) = register("going")
    assert (third.version, third.aliases) == ("3", ["champion"])
    assert str(maas_jupyter.delete(third, confirm="going/3")) == "going/3 was deleted."
    maas_jupyter.delete("going/2", confirm="going/2")
    assert not registry.models("going")


def test_files_that_another_version_has_stay(registry):
    (first,) = register("sharing")
    second = registry.register("sharing", registry.fetch(first), run_id=first.run_id, metrics={})
    assert second.source == first.source
    maas_jupyter.delete("sharing/1", confirm="sharing/1")
    assert registry.fetch(second).digest == first.digest
    maas_jupyter.delete("sharing/2", confirm="sharing/2")
    assert not folder_of(second).exists()


def test_the_copy_on_this_machine_goes_with_the_last_version_that_has_it(registry):
    only = maas_jupyter.register(nn.Linear(13, 3), name="alone", data=wine())
    kept = registry.fetch(only).folder
    maas_jupyter.delete("alone/1", confirm="alone/1")
    assert not kept.exists()


@pytest.mark.parametrize("digest", ["../../elsewhere", "", "."])
def test_a_digest_that_somebody_wrote_by_hand_deletes_nothing(home, registry, digest):
    name = f"forged-{len(digest)}"
    (version,) = register(name)
    kept = registry.fetch(version).folder
    elsewhere = kept.parent.parent.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    client = MlflowClient(tracking_uri=registry.uri, registry_uri=registry.uri)
    client.set_model_version_tag(name, "1", "maas.digest", digest)
    with pytest.raises(NotFound):
        maas_jupyter.delete(f"{name}/1", confirm=f"{name}/1")
    assert elsewhere.is_dir()
    assert kept.is_dir()


def test_files_that_were_not_registered_from_here_stay(registry, tmp_path):
    (mine,) = register("elsewhere-files")
    (tmp_path / "thesis").mkdir()
    client = MlflowClient(tracking_uri=registry.uri, registry_uri=registry.uri)
    tags = client.get_model_version("elsewhere-files", "1").tags
    client.create_model_version("elsewhere-files", (tmp_path / "thesis").as_uri(), mine.run_id, tags=tags)
    said = str(maas_jupyter.delete("elsewhere-files/2", confirm="elsewhere-files/2"))
    assert (tmp_path / "thesis").is_dir()
    assert "thesis" in said


def test_a_model_goes_with_all_its_versions(registry):
    versions = register("leaving", 2)
    with pytest.raises(UsageError, match="leaving with its 2 versions and @champion"):
        maas_jupyter.delete("leaving", confirm="leaving/1")
    maas_jupyter.delete("leaving", confirm="leaving")
    assert not registry.is_registered("leaving")
    assert not any(folder_of(version).exists() for version in versions)


def test_a_model_that_others_share_is_not_deleted_whole(registry):
    (mine,) = register("shared")
    client = MlflowClient(tracking_uri=registry.uri, registry_uri=registry.uri)
    client.create_model_version("shared", mine.source, mine.run_id)
    with pytest.raises(Conflict, match="versions that %maas does not list: 2"):
        maas_jupyter.delete("shared", confirm="shared")
    assert folder_of(mine).is_dir()


def test_what_a_connected_server_serves_is_not_deleted(home, registry, tmp_path, monkeypatch):
    register("elsewhere", 2)
    monkeypatch.setenv("GPU_TOKEN", ADMIN)
    server = RemoteServer(tmp_path)
    try:
        maas_jupyter.connect("gpu", server.url, token_env="GPU_TOKEN", ca_file=str(server.ca_file))
        maas_jupyter.publish("elsewhere/1", to="gpu")
        with pytest.raises(Conflict, match="elsewhere/1 is published on gpu") as refused:
            maas_jupyter.delete("elsewhere/1", confirm="elsewhere/1")
        assert refused.value.hint.endswith("%maas unpublish elsewhere --on gpu")
        maas_jupyter.delete("elsewhere/2", confirm="elsewhere/2")
        maas_jupyter.unpublish("elsewhere", on="gpu")
        monkeypatch.delenv("GPU_TOKEN")
        with pytest.raises(Conflict, match="GPU_TOKEN"):
            maas_jupyter.delete("elsewhere/1", confirm="elsewhere/1")
    finally:
        server.stop()
        maas_jupyter.disconnect("gpu")
    maas_jupyter.delete("elsewhere/1", confirm="elsewhere/1")
