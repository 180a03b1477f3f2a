"""A model server as somebody starts it on another machine: ``maas serve`` with TLS and a file of tokens."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import trustme

from maas_jupyter.serving.record import log_path, read_record

ADMIN, READER = "an-admins-secret-token", "a-readers-secret-token"


class RemoteServer:
    """Runs until it is closed; ``url`` and ``ca_file`` are what its clients need."""

    def __init__(self, folder, *, tls=True):
        self.home = folder / "home"
        folder.mkdir(parents=True, exist_ok=True)
        tokens = folder / "tokens"
        tokens.write_text(f"admin ann {ADMIN}\npredict rob {READER}\n")
        tokens.chmod(0o600)
        self._words = ["serve", "--home", self.home, "--token-file", tokens, "--workers", "1", "--threads", "1"]
        self.ca_file = None
        if tls:
            authority = trustme.CA()
            self.ca_file = folder / "ca.pem"
            authority.cert_pem.write_to_path(self.ca_file)
            made = authority.issue_cert("127.0.0.1")
            made.private_key_pem.write_to_path(folder / "key.pem")
            made.cert_chain_pems[0].write_to_path(folder / "cert.pem")
            self._words += ["--tls-cert", folder / "cert.pem", "--tls-key", folder / "key.pem"]
        self.process = None
        self.url = ""
        self.start()

    def start(self):
        """Start, at the same port where it ran before."""
        port = self.url.rpartition(":")[2] or "0"
        code = "import sys; from maas_jupyter.cli import main; sys.argv[0] = 'maas'; main()"
        self.home.mkdir(exist_ok=True)
        with (self.home / "stderr").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, *map(str, self._words), "--port", port],
                stdout=log,
                stderr=log,
                env={name: value for name, value in os.environ.items() if name != "MAAS_HOME"},
            )
        while (record := read_record(self.home)) is None or record.pid != self.process.pid:
            assert self.process.poll() is None, self.log()
            time.sleep(0.01)
        self.url = record.url

    def log(self):
        return (self.home / "stderr").read_text() + log_path(self.home).read_text()

    def stop(self):
        """End as by a press of the keys for an interrupt."""
        if self.process.poll() is None:
            self.process.send_signal(2)
        return self.process.wait()
