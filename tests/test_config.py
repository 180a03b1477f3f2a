from __future__ import annotations

import subprocess
import sys

import pytest

from maas_jupyter.config import MaasConfig


def test_the_environment_is_read_at_each_use(monkeypatch, tmp_path):
    settings = MaasConfig()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MAAS_HOME", str(tmp_path / "one"))
    assert settings.resolved_registry_uri == f"sqlite:///{tmp_path}/one/mlflow.db"
    monkeypatch.setenv("MAAS_HOME", str(tmp_path / "two"))
    assert settings.server_home == tmp_path / "two" / "server"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert settings.resolved_registry_uri == "http://127.0.0.1:1"


def test_what_is_configured_wins_over_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("MAAS_HOME", "/elsewhere")
    assert MaasConfig(home=str(tmp_path)).home_path == tmp_path


def test_the_home_is_in_the_users_home_by_default(monkeypatch, tmp_path):
    monkeypatch.delenv("MAAS_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert MaasConfig().home_path == tmp_path / ".maas"


@pytest.mark.parametrize("trait", ["home", "registry_uri"])
def test_ipythons_configuration_file_sets_it(tmp_path, trait):
    (tmp_path / "profile_default").mkdir(parents=True)
    value = str(tmp_path / "configured")
    (tmp_path / "profile_default" / "ipython_config.py").write_text(f"c.MaasConfig.{trait} = {value!r}")
    code = f"%load_ext maas_jupyter\nfrom maas_jupyter import config\nprint('is', config.current().{trait})"
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", f"--ipython-dir={tmp_path}"],
        input=code + "\nexit\n",
        capture_output=True,
        text=True,
    )
    assert f"is {value}" in done.stdout, done.stdout + done.stderr


def test_prometheus_is_named_by_the_settings_or_the_environment(monkeypatch):
    monkeypatch.delenv("MAAS_PROMETHEUS_URL", raising=False)
    assert MaasConfig().resolved_prometheus_url == ""
    monkeypatch.setenv("MAAS_PROMETHEUS_URL", "http://prom:9090")
    assert MaasConfig().resolved_prometheus_url == "http://prom:9090"
    assert MaasConfig(prometheus_url="http://other:9090").resolved_prometheus_url == "http://other:9090"
