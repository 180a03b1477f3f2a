"""Starting the server: options, tokens, certificates, and what is refused."""

from __future__ import annotations

import http.client
import json
import logging
import os
import pty
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys

import msgspec
import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from supervised import Caller, Server, until

from maas_jupyter.errors import UsageError
from maas_jupyter.serving.auth import Token, make_tokens, read_tokens
from maas_jupyter.serving.counts import SECONDS
from maas_jupyter.serving.logs import JsonLines, LogEntry
from maas_jupyter.serving.options import ServerOptions, cores, parse
from maas_jupyter.serving.record import ALREADY_RUNS, read_record
from maas_jupyter.serving.supervisor.launch import hold

ADMIN, READER = "a" * 20 + "-admin", "r" * 20 + "-reader"
FILE = f"""# comments and empty lines

admin   ann  {ADMIN}
predict rob  {READER}   # his laptop
"""


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(FILE)
    path.chmod(0o600)
    return path


@pytest.fixture
def certificate(tmp_path):
    """A certificate for 127.0.0.1 and its key; and a context that trusts it."""
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1", "localhost")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    for number, blob in enumerate(made.cert_chain_pems):
        blob.write_to_path(chain, append=number > 0)
    made.private_key_pem.write_to_path(key)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return chain, key, context


@pytest.fixture
def start(tmp_path):
    servers = []

    def start(*arguments):
        servers.append(Server(tmp_path / "home", "--workers", "1", *map(str, arguments)))
        return servers[-1].start()

    yield start
    for server in servers:
        server.close()


def refused(tmp_path, *arguments):
    """Return what a server says that does not start."""
    command = [sys.executable, "-m", "maas_jupyter.serving", "--home", tmp_path / "home", *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)
    assert done.returncode in (1, 2), done
    assert done.stdout == ""
    assert not (tmp_path / "home").exists()
    what, hint = done.stderr.splitlines()
    assert what.startswith("error: ")
    assert hint.startswith("hint: ")
    return what, hint.removeprefix("hint: ")


# -- options -----------------------------------------------------------------------------------------------------------


def test_the_command_line_and_the_options_agree():
    assert parse(["--home", "/x"]) == ServerOptions(home="/x")
    line = "--home h --host ::1 --port 8 --grpc-port 9 --workers 3 --threads 2 --token-file t --tls-cert c --tls-key k"
    assert parse([*line.split(), "--insecure", "--load-seconds", "7"]) == ServerOptions(
        home="h",
        host="::1",
        port=8,
        grpc_port=9,
        workers=3,
        threads=2,
        token_file="t",
        tls_cert="c",
        tls_key="k",
        insecure=True,
        load_seconds=7.0,
    )


def test_threads_are_shared_out():
    assert ServerOptions(home="h", workers=1).inference_threads == cores()
    assert ServerOptions(home="h", workers=10_000).inference_threads == 1
    assert ServerOptions(home="h", workers=2, threads=5).inference_threads == 5


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"host": "example.org"}, "not an IP address", "127.0.0.1"),
        ({"host": "0.0.0.0"}, "without a token file and TLS", "--token-file FILE and --tls-cert FILE --tls-key FILE"),
        ({"host": "192.0.2.1", "token_file": "t"}, "without", "Give --tls-cert FILE --tls-key FILE,"),
        ({"host": "::", "tls_cert": "c", "tls_key": "k"}, "without", "Give --token-file FILE,"),
        ({"tls_cert": "c"}, "--tls-cert is given without --tls-key", "--tls-key"),
        ({"tls_key": "k"}, "--tls-key is given without --tls-cert", "--tls-cert"),
        ({"port": 65536}, "--port 65536 is not a port", "65535"),
        ({"grpc_port": -1}, "--grpc-port -1 is not a port", "0"),
        ({"workers": 0}, "--workers 0 cannot be", "one for each processor core"),
        ({"threads": -1}, "--threads -1 cannot be", "shared out"),
        ({"load_seconds": 0.0}, "--load-seconds 0.0 cannot be", "300"),
    ],
)
def test_options_that_are_refused(changes, message, hint):
    with pytest.raises(UsageError, match=message) as raised:
        ServerOptions(home="h", **changes).check()
    assert hint in raised.value.hint


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"host": "localhost"},
        {"host": "::1"},
        {"host": "127.8.9.1"},
        {"host": "0.0.0.0", "insecure": True},
        {"host": "0.0.0.0", "token_file": "t", "tls_cert": "c", "tls_key": "k"},
    ],
)
def test_options_that_are_taken(changes):
    ServerOptions(home="h", **changes).check()


# -- the token file ----------------------------------------------------------------------------------------------------


def test_reading_tokens(token_file):
    tokens = read_tokens(token_file)
    assert tokens == [Token("ann", "admin", ADMIN), Token("rob", "predict", READER)]
    assert ADMIN not in repr(tokens)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_a_token_file_for_others_is_refused(token_file, mode):
    token_file.chmod(mode)
    with pytest.raises(UsageError, match=f"{mode:04o}") as raised:
        read_tokens(token_file)
    assert raised.value.hint == f"chmod 600 {token_file}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no token"),
        ("# nothing\n\n", "no token"),
        (f"admin ann {ADMIN}\nadmin {READER}", "Line 2"),
        (f"admin ann {ADMIN} more", "Line 1"),
        (f"Admin ann {ADMIN}", "Line 1"),
        (f"root ann {ADMIN}", "Line 1"),
        ("admin ann short", "shorter than 16"),
        ("admin ann " + "ä" * 20, "not plain ASCII"),
        (f"admin ann {ADMIN}\npredict rob {ADMIN}", "Line 2 .* repeats the token of 'ann'"),
    ],
)
def test_lines_that_are_refused(token_file, text, message):
    token_file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message) as raised:
        read_tokens(token_file)
    assert raised.value.hint
    assert ADMIN not in str(raised.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))))
def test_any_file_is_read_or_refused(token_file, data):
    token_file.write_bytes(data)
    try:
        tokens = read_tokens(token_file)
    except UsageError:
        return
    assert all(len(each.token) >= 16 and each.role in ("admin", "predict") for each in tokens)


def test_a_token_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_tokens(tmp_path / "none")


def test_making_tokens(tmp_path):
    path = tmp_path / "tokens"
    made = make_tokens(path)
    assert [(each.role, each.name) for each in made] == [("admin", "admin"), ("predict", "predict")]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_tokens(path) == made
    with pytest.raises(UsageError, match="cannot be written"):
        make_tokens(path)


def test_tokens_cross_to_the_workers_but_are_not_shown():
    token = Token("ann", "admin", ADMIN)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(token), type=Token) == token
    assert ADMIN not in repr(token)


# -- refusals of the process -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_listening_beyond_this_machine_is_refused(tmp_path, host):
    what, hint = refused(tmp_path, "--host", host)
    assert host in what
    assert "--insecure" in hint


@pytest.mark.parametrize("more", [(), ("--insecure",)])
def test_an_address_of_another_machine_is_refused(tmp_path, more):
    what, hint = refused(tmp_path, "--host", "192.0.2.1", *more)
    assert what == "error: This machine has no address 192.0.2.1."
    assert "--host 0.0.0.0" in hint


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--host", "192.0.2.1"), "no address"), (("--port", "TAKEN"), "in use"), (("--workers", "0"), "--workers 0")],
)
def test_what_is_refused_leaves_no_token_file(tmp_path, words, said):
    tokens = tmp_path / "tokens"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = [word.replace("TAKEN", str(taken.getsockname()[1])) for word in words]
        assert said in refused(tmp_path, "--token-file", tokens, *words)[0]
    assert not tokens.exists()


def test_a_token_file_for_others_stops_the_start(tmp_path, token_file):
    token_file.chmod(0o644)
    assert refused(tmp_path, "--token-file", token_file)[1] == f"chmod 600 {token_file}"


def test_a_token_file_in_a_folder_that_is_not_there(tmp_path):
    what, hint = refused(tmp_path, "--token-file", tmp_path / "a folder" / "tokens")
    assert f"no folder {tmp_path}/a folder" in what
    assert hint == f"Make it: mkdir -p '{tmp_path}/a folder'"
    assert not (tmp_path / "a folder").exists()


def test_certificates_that_cannot_be_used(tmp_path, certificate):
    chain, key, _ = certificate
    other = tmp_path / "other.pem"
    trustme.CA().issue_cert("127.0.0.1").private_key_pem.write_to_path(other)
    none = tmp_path / "none"
    for given_chain, given_key, named in (
        (chain, other, chain),
        (chain, none, none),
        (none, key, none),
        (key, key, key),
    ):
        what, hint = refused(tmp_path, "--tls-cert", given_chain, "--tls-key", given_key)
        assert str(named) in what
        assert "PEM" in hint


def test_a_port_that_is_taken(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        what, hint = refused(tmp_path, "--port", taken.getsockname()[1])
    assert "in use by another program" in what
    assert "0 takes a free one" in hint


def test_a_second_server_on_a_home(start, tmp_path):
    server = start()
    command = [sys.executable, "-m", "maas_jupyter.serving", "--home", str(server.home)]
    port = server.record.url.rpartition(":")[2]
    for words in ([], ["--port", port]):
        done = subprocess.run([*command, *words], capture_output=True, text=True)
        assert done.returncode == ALREADY_RUNS
        what, hint = done.stderr.splitlines()
        assert f"already runs for {server.home} (process {server.process.pid}, {server.record.url})" in what
        assert f"kill {server.process.pid}" in hint
    assert server.get("/v2/health/ready")[0] == 200


def test_workers_that_cannot_start_end_the_server(tmp_path):
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "uvloop.py").write_text("raise ImportError('no loop today')")
    command = [sys.executable, "-m", "maas_jupyter.serving", "--home", str(tmp_path / "home"), "--workers", "1"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "shadow")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 1
    assert "no loop today" in done.stderr
    assert done.stderr.splitlines()[-2] == "error: Workers end while they start (status 1)."
    assert not (tmp_path / "home" / "server.json").exists()


# -- tokens and TLS in the process -------------------------------------------------------------------------------------


def status_for(server, token, path="/maas/v1/status", method="GET"):
    with Caller(server.record, token=token) as caller:
        return caller.ask(method, path)[0]


def test_roles_of_the_token_file(start, token_file):
    server = start("--token-file", token_file)
    assert status_for(server, ADMIN) == 200
    assert status_for(server, READER) == 403
    assert status_for(server, READER, "/v2") == 200
    assert status_for(server, "another") == 401
    assert status_for(server, server.record.token) == 200
    assert ADMIN not in server.log()


def test_a_hangup_reads_the_tokens_again(start, token_file):
    server = start("--token-file", token_file)
    new = "n" * 24
    token_file.write_text(f"admin eve {new}\n")
    server.process.send_signal(signal.SIGHUP)
    until(lambda: "all workers were replaced" in server.log())
    assert status_for(server, new) == 200
    assert status_for(server, ADMIN) == 401
    assert status_for(server, server.record.token) == 200


def test_a_hangup_with_a_broken_token_file_changes_nothing(start, token_file):
    server = start("--token-file", token_file)
    workers = server.workers()
    token_file.write_text("nonsense")
    server.process.send_signal(signal.SIGHUP)
    until(lambda: "the tokens stay as they are" in server.log())
    assert status_for(server, ADMIN) == 200
    assert server.workers() == workers


def test_a_token_file_is_made(start, tmp_path):
    path = tmp_path / "tokens"
    server = start("--token-file", path)
    admin, reader = read_tokens(path)
    assert status_for(server, admin.token) == 200
    assert status_for(server, reader.token) == 403
    assert admin.token not in server.log()
    assert reader.token not in server.log()
    server.stop()
    assert status_for(server.start(), admin.token) == 200


def test_tls(start, certificate, token_file):
    chain, key, context = certificate
    server = start("--tls-cert", chain, "--tls-key", key, "--token-file", token_file, "--host", "0.0.0.0")
    assert server.record.url.startswith("https://127.0.0.1:")
    with Caller(server.record, token=ADMIN, context=context) as caller:
        assert caller.ask("GET", "/maas/v1/status")[0] == 200
        assert caller.ask("GET", "/v2/health/ready")[0] == 200
    with pytest.raises(ssl.SSLCertVerificationError), Caller(server.record, context=ssl.create_default_context()) as it:
        it.ask("GET", "/v2")
    port = int(server.record.url.rpartition(":")[2])
    plain = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        plain.request("GET", "/v2/health/live")
        plain.getresponse()
    plain.close()
    with Caller(server.record, token=ADMIN, context=context) as caller:  # and that harmed nobody
        assert caller.ask("GET", "/v2")[0] == 200


def test_grpc_over_tls(start, certificate):
    grpc = pytest.importorskip("grpc")
    chain, key, _ = certificate
    server = start("--tls-cert", chain, "--tls-key", key, "--grpc-port", "0")

    def live(channel):
        with channel:
            return channel.unary_unary("/inference.GRPCInferenceService/ServerLive")(b"", timeout=10)

    trusted = grpc.ssl_channel_credentials(chain.read_bytes())
    stranger = grpc.ssl_channel_credentials(trustme.CA().cert_pem.bytes())
    assert live(grpc.secure_channel(server.record.grpc, trusted)) == b"\x08\x01"
    for channel in (
        grpc.secure_channel(server.record.grpc, stranger),
        grpc.insecure_channel(server.record.grpc),
    ):
        with pytest.raises(grpc.RpcError):
            live(channel)


def test_insecure_is_heeded(start):
    server = start("--host", "0.0.0.0", "--insecure")
    assert server.record.url.startswith("http://127.0.0.1:")
    assert server.get("/v2/health/ready")[0] == 200


def test_ipv6(start):
    if not socket.has_ipv6:
        pytest.skip("this machine speaks no IPv6")
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")
    server = start("--host", "::1")
    assert server.record.url.startswith("http://[::1]:")
    assert server.get("/v2/health/ready")[0] == 200


# -- what a person at a terminal sees ----------------------------------------------------------------------------------


@pytest.fixture
def terminal(tmp_path):
    """Run a server whose output is a terminal until it is interrupted; return what was shown, and its home."""

    def run(*words):
        home = tmp_path / "shown"
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "maas_jupyter.serving", "--home", home, "--workers", "1", *words]
        process = subprocess.Popen(list(map(str, command)), stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        shown = b""
        try:
            while process.poll() is None:
                try:
                    shown += os.read(ours, 4096)
                except OSError:  # how a terminal says that nobody writes to it any more
                    break
                if b"Ctrl-C" in shown and read_record(home):
                    process.send_signal(signal.SIGINT)
            assert process.wait() == 0
        finally:
            process.kill()
            os.close(ours)
        return shown.decode().replace("\r\n", "\n"), home

    return run


def test_a_terminal_shows_words(terminal, certificate, token_file):
    chain, key, _ = certificate
    shown, home = terminal("--tls-cert", chain, "--tls-key", key, "--token-file", token_file, "--grpc-port", "0")
    assert '{"' not in shown
    assert re.search(r"HTTP +https://127\.0\.0\.1:\d+\n", shown)
    assert re.search(r"gRPC +127\.0\.0\.1:\d+\n", shown)
    assert re.search(rf"TLS +with the certificate {chain}\n", shown)
    assert re.search(rf"tokens +{token_file} ", shown)
    assert re.search(rf"home +{home}\n", shown)
    assert re.search(r"workers +1, with \d+ threads? each\n", shown)
    assert re.search(r"%maas connect NAME https://127\.0\.0\.1:\d+ --token-env VAR \[--ca-file FILE\]\n", shown)
    assert ADMIN not in shown
    assert READER not in shown
    lines = (home / "server.log").read_text().splitlines()
    assert all(json.loads(line)["message"] for line in lines)


def test_a_terminal_shows_where_the_servers_own_token_is(terminal):
    shown, home = terminal("--host", "0.0.0.0", "--insecure")
    assert re.search(rf"tokens +{home}/server.json ", shown)
    assert re.search(r"TLS +none", shown)
    assert re.search(r"gRPC +none", shown)
    assert f"http://{socket.gethostname()}:" in shown
    assert "--token-env VAR --insecure\n" in shown


def test_the_home_and_what_it_lies_in_are_the_owners_alone(tmp_path):
    (tmp_path / "there").mkdir(mode=0o755)
    (tmp_path / "there").chmod(0o755)
    for home, modes in ((tmp_path / "new" / "home", (0o700, 0o700)), (tmp_path / "there" / "home", (0o755, 0o700))):
        os.close(hold(home))
        assert tuple(stat.S_IMODE(path.stat().st_mode) for path in (home.parent, home)) == modes


# -- the log -----------------------------------------------------------------------------------------------------------


def test_a_line_of_the_log_is_read_as_it_was_written():
    record = logging.LogRecord("a", logging.WARNING, "", 0, "model %s does not load", ("digits",), None)
    record.request_id, record.model, record.version = "abc", "digits", "3"
    entry = LogEntry.parse(JsonLines("worker").format(record))
    assert entry.level == "warning"
    assert LogEntry.parse(JsonLines("supervisor").format(record)).source == "supervisor"
    assert entry.event == "model digits does not load (digits version 3, request abc)"
    assert abs(entry.time.timestamp() - record.created) < 0.01
    head = rf"[-\d]{{10}} [:\d]{{8}} warning worker {os.getpid()} +"
    assert re.fullmatch(rf"{head}model digits does not load \(digits version 3, request abc\)", str(entry))


@pytest.mark.parametrize("line", ["", "a crash", "{", "[1]", "3", '{"time": 1, "message": "x"}', '{"message": "x"}'])
def test_a_line_of_something_else_stands_as_it_is(line):
    assert str(LogEntry.parse(line)) == line


@pytest.mark.parametrize(
    ("message", "about"),
    [
        ("model digits serves {'1': 100}", True),
        ("the desired state of digits is broken", True),
        ("model digits: its change 3 was finished.", True),
        ("model mydigits serves", False),
        ("model digits-2 serves", False),
        ("model old.digits serves", False),
        ("worker 17 is ready", False),
    ],
)
def test_what_a_line_is_about(message, about):
    assert LogEntry(message).is_about("digits") is about


def test_a_traceback_stands_below_its_line():
    entry = LogEntry("it failed", traceback="Traceback\n  at x")
    assert str(entry) == "it failed\n    Traceback\n      at x"


def test_bounds_of_histograms_are_short():
    assert all(len(str(bound)) <= 7 for bound in SECONDS)
    assert list(SECONDS) == sorted(SECONDS)
    assert {0.0007, 0.03, 7.0} <= set(SECONDS)
