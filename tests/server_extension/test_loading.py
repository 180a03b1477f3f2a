import json
import subprocess
import sys
from pathlib import Path

HEAVY = ["torch", "transformers", "mlflow", "onnxruntime", "onnx", "matplotlib", "pandas", "sklearn"]

SERVER = """
import asyncio, json, sys, traceback
from jupyter_server.serverapp import ServerApp
from tornado.httpclient import AsyncHTTPClient

app = ServerApp.instance()
app.initialize(sys.argv[1:])
loaded = set(sys.modules)

async def visit():
    begun = set(sys.modules)
    try:
        headers = {"Authorization": f"token {app.identity_provider.token}"}

        async def ask(route):
            request = app.local_url.split("?")[0] + "maas-jupyter/" + route
            return json.loads((await AsyncHTTPClient().fetch(request, headers=headers)).body)

        snapshot = {"models": None}
        while snapshot["models"] is None:  # MLflow may take longer to be imported than a request waits
            snapshot = await ask("snapshot")
        rows = (await ask("models"))["rows"]
        modules = {"loaded": sorted(loaded), "begun": sorted(begun), "after": sorted(sys.modules)}
        print(json.dumps({**modules, "snapshot": snapshot, "rows": rows}))
    except Exception:
        traceback.print_exc()
    finally:
        app.stop(from_signal=True)

app.io_loop.add_callback(visit)
app.start()
"""


def visit(home: Path, **environment: str) -> dict:
    """Start a Jupyter server with the extension, ask for a snapshot, and say which modules it had when."""
    arguments = ["--ServerApp.jpserver_extensions={'maas_jupyter': True}", "--ServerApp.base_url=/user/x/", "--port=0"]
    arguments += ["--no-browser", "--allow-root", "--ServerApp.log_level=WARN", f"--ServerApp.root_dir={home.parent}"]
    done = subprocess.run(
        [sys.executable, "-c", SERVER, *arguments],
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(home.parent),
            "MAAS_HOME": str(home),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def test_loading_imports_nothing_heavy_and_looking_creates_nothing(maas_home):
    visited = visit(maas_home)
    assert "maas_jupyter.monitoring" not in visited["begun"]
    assert not set(HEAVY) & set(visited["after"])
    assert (visited["snapshot"]["models"], visited["snapshot"]["registry_error"]) == (0, None)
    assert not maas_home.exists()


def test_looking_at_models_imports_no_torch(maas_home, registered):
    visited = visit(maas_home)
    (model,) = visited["rows"]
    version = model["newest"]
    assert (model["name"], version["version"], version["aliases"]) == ("square", "1", ["champion"])
    assert (version["metric_name"], version["metric"], version["size"]) == ("accuracy", 0.9, registered.size)
    assert "mlflow" not in visited["loaded"]
    assert not {"torch", "transformers", "onnxruntime"} & set(visited["after"])


def test_rules_of_alerts_are_followed_before_anybody_asks(maas_home):
    (maas_home / "monitoring").mkdir(parents=True)
    (maas_home / "monitoring" / "alerts.yml").write_text("groups: []\n")
    visited = visit(maas_home)
    assert "maas_jupyter.monitoring" not in visited["loaded"]
    assert "maas_jupyter.server_extension.guard" in visited["begun"]
