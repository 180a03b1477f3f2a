"""Actions are carried out by the Jupyter server's process, which must stay small."""

import json
import subprocess
import sys
from pathlib import Path

from maas_jupyter.targets.local import LocalTarget

ACT = """
import asyncio, json, sys, traceback
from jupyter_server.serverapp import ServerApp
from tornado.httpclient import AsyncHTTPClient

app = ServerApp.instance()
app.initialize(sys.argv[1:])

async def act():
    try:
        headers = {"Authorization": f"token {app.identity_provider.token}"}

        async def ask(method, route, body=None):
            url = app.local_url.split("?")[0] + "maas-jupyter/" + route
            words = None if body is None else json.dumps(body)
            await AsyncHTTPClient().fetch(url, method=method, headers=headers, body=words, request_timeout=60)

        await ask("POST", "endpoints/local/square/publish", {"version": "1"})
        await ask("GET", "endpoints/local/square/curl")
        await ask("PUT", "models/square/aliases/best", {"version": "1"})
        await ask("POST", "endpoints/local/square/unpublish", {})
        await ask("DELETE", "models/square/versions?confirm=square")
        print(json.dumps(sorted(sys.modules)))
    except Exception:
        traceback.print_exc()
    finally:
        app.stop(from_signal=True)

app.io_loop.add_callback(act)
app.start()
"""


def test_no_action_imports_torch(maas_home, registered):
    arguments = ["--ServerApp.jpserver_extensions={'maas_jupyter': True}", "--port=0", "--no-browser", "--allow-root"]
    arguments += ["--ServerApp.log_level=WARN", f"--ServerApp.root_dir={maas_home.parent}"]
    try:
        done = subprocess.run(
            [sys.executable, "-c", ACT, *arguments],
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(maas_home.parent),
                "MAAS_HOME": str(maas_home),
                "PYTHONPATH": str(Path(__file__).parents[2]),
            },
            capture_output=True,
            text=True,
            timeout=120,
        )
    finally:
        LocalTarget(maas_home / "server").stop()
    assert done.returncode == 0, done.stderr
    assert done.stdout, done.stderr
    assert not {"torch", "transformers", "onnxruntime"} & set(json.loads(done.stdout))
