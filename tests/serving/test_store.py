"""The store of bundles on a disk: uploads in pieces, by several clients and processes, cut and resumed."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bundles import Bundles, linear_softmax
from hypothesis import given, settings
from hypothesis import strategies as st

from maas_jupyter import schema
from maas_jupyter.bundle import AlteredBundle
from maas_jupyter.errors import BundleError, Conflict, InvalidInput, NotFound, Unavailable
from maas_jupyter.schema import FileEntry, Manifest, Signature
from maas_jupyter.serving import uploads
from maas_jupyter.serving.store import STALE_SECONDS, BundleStore
from maas_jupyter.serving.uploads import OffsetConflict


def write_bundle(folder, files):
    """Write a bundle of any files; returns its digest."""
    entries = {name: FileEntry(hashlib.sha256(data).hexdigest(), len(data)) for name, data in files.items()}
    manifest = Manifest(task="tensor", runtime="onnx", precision="fp32", signature=Signature([], []), files=entries)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "maas.json").write_bytes(schema.encode(manifest))
    return Bundles.digest(folder)


async def pieces(data, size=1 << 16):
    for start in range(0, len(data), size):
        yield data[start : start + size]


class Cut(Exception):
    """A connection ended."""


async def cut_after(data):
    yield data
    raise Cut


def send(store, digest, name, data, offset=0):
    return asyncio.run(store.uploads.receive(digest, name, offset, pieces(data)))


def stored(home):
    return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def store(home):
    return BundleStore(home)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "bundle"


@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=5000), cuts=st.lists(st.integers(0, 5000), max_size=6))
def test_whatever_is_cut_is_resumed_where_it_ended(tmp_path_factory, data, cuts):
    base = tmp_path_factory.mktemp("cut")
    digest = write_bundle(base / "bundle", {"weights.bin": data})
    store = BundleStore(base / "home")
    send(store, digest, "maas.json", (base / "bundle/maas.json").read_bytes())
    for size in cuts:
        there = store.uploads.state(digest, "weights.bin")
        if not there.complete:
            with pytest.raises(Cut):
                part = data[there.offset : there.offset + size]
                asyncio.run(store.uploads.receive(digest, "weights.bin", there.offset, cut_after(part)))
            assert store.uploads.state(digest, "weights.bin").offset == there.offset + len(part)
    there = store.uploads.state(digest, "weights.bin")
    assert send(store, digest, "weights.bin", data[there.offset :], there.offset).complete
    store.commit(digest)
    assert (store.open(digest).folder / "weights.bin").read_bytes() == data
    assert not (base / "home/bundles/.staging" / digest).exists()


def test_a_resumed_upload_survives_the_process(store, home, folder):
    data = os.urandom(3_000_000)
    digest = write_bundle(folder, {"sub/weights.bin": data, "empty": b""})
    send(store, digest, "maas.json", (folder / "maas.json").read_bytes())
    with pytest.raises(Cut):
        asyncio.run(store.uploads.receive(digest, "sub/weights.bin", 0, cut_after(data[:2_500_000])))
    after = BundleStore(home)
    after.sweep([])  # as the next start does
    assert after.uploads.state(digest, "sub/weights.bin").offset == 2_500_000
    assert send(after, digest, "sub/weights.bin", data[2_500_000:], 2_500_000).complete
    assert not after.uploads.state(digest, "empty").complete
    assert send(after, digest, "empty", b"").complete
    after.commit(digest)
    names = ("maas.json", "empty", "sub/weights.bin")
    assert stored(home) == {f"bundles/{digest}/{name}" for name in names}


def test_a_chunk_that_does_not_fit_is_told_where_the_file_ends(store, folder):
    digest = write_bundle(folder, {"weights.bin": b"0123456789"})
    send(store, digest, "maas.json", (folder / "maas.json").read_bytes())
    assert not send(store, digest, "weights.bin", b"0123").complete
    for offset in (0, 3, 5, 10, 11):
        with pytest.raises(OffsetConflict) as caught:
            send(store, digest, "weights.bin", b"x", offset)
        assert caught.value.offset == 4
    with pytest.raises(BundleError, match="longer than the 10 bytes"):
        send(store, digest, "weights.bin", b"45678901", 4)
    assert send(store, digest, "weights.bin", b"456789", 4).complete
    assert send(store, digest, "weights.bin", b"again").complete  # what is there is not taken again


def test_wrong_bytes_are_deleted(store, folder):
    digest = write_bundle(folder, {"weights.bin": b"0123456789"})
    send(store, digest, "maas.json", (folder / "maas.json").read_bytes())
    with pytest.raises(BundleError, match="sha256"):
        send(store, digest, "weights.bin", b"0123456780")
    assert store.uploads.state(digest, "weights.bin").offset == 0
    assert send(store, digest, "weights.bin", b"0123456789").complete


def test_only_one_client_at_a_time_sends_a_file(store, folder):
    digest = write_bundle(folder, {"weights.bin": b"0123456789", "other.bin": b"abc"})
    send(store, digest, "maas.json", (folder / "maas.json").read_bytes())

    async def scenario():
        begun, may_end = asyncio.Event(), asyncio.Event()

        async def slow():
            yield b"01234"
            begun.set()
            await may_end.wait()
            yield b"56789"

        sending = asyncio.create_task(store.uploads.receive(digest, "weights.bin", 0, slow()))
        await begun.wait()
        with pytest.raises(OffsetConflict, match="Another client"):
            await store.uploads.receive(digest, "weights.bin", 0, pieces(b"0123456789"))
        assert (await store.uploads.receive(digest, "other.bin", 0, pieces(b"abc"))).complete
        may_end.set()
        assert (await sending).complete

    asyncio.run(scenario())
    store.commit(digest)


def test_a_request_that_is_cancelled_leaves_what_arrived(store, folder):
    data = os.urandom(2_000_000)
    digest = write_bundle(folder, {"weights.bin": data})
    send(store, digest, "maas.json", (folder / "maas.json").read_bytes())

    async def scenario():
        begun = asyncio.Event()

        async def endless():
            yield data[:1_500_000]
            begun.set()
            await asyncio.Event().wait()

        sending = asyncio.create_task(store.uploads.receive(digest, "weights.bin", 0, endless()))
        await begun.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    asyncio.run(scenario())
    assert store.uploads.state(digest, "weights.bin").offset == 1_500_000
    assert send(store, digest, "weights.bin", data[1_500_000:], 1_500_000).complete


def test_two_uploads_of_a_bundle_overlap(store, home, bundles):
    folder = bundles.make(linear_softmax())
    digest = Bundles.digest(folder)
    data = (folder / "model.onnx").read_bytes()

    async def scenario():
        begun, committed = asyncio.Event(), asyncio.Event()

        async def slow():
            yield data[:9]
            begun.set()
            await committed.wait()
            yield data[9:]

        manifest = (folder / "maas.json").read_bytes()
        await store.uploads.receive(digest, "maas.json", 0, pieces(manifest))
        sending = asyncio.create_task(store.uploads.receive(digest, "model.onnx", 0, slow()))
        await begun.wait()
        # Someone else has it already, as when the bundle lies in the store under another server's hand.
        other = BundleStore(home.parent / "other")
        for name in ("maas.json", "model.onnx"):
            await other.uploads.receive(digest, name, 0, pieces((folder / name).read_bytes()))
        other.commit(digest)
        other.path(digest).rename(store.path(digest))
        committed.set()
        assert (await sending).complete
        assert (await store.uploads.receive(digest, "maas.json", 0, pieces(manifest))).complete
        assert (await store.uploads.receive(digest, "model.onnx", 0, pieces(data))).complete
        await asyncio.gather(*(asyncio.to_thread(store.commit, digest) for _ in range(4)))

    asyncio.run(scenario())
    assert store.open(digest).digest == digest


def test_looks_at_a_bundle_while_another_client_commits_it(store, home, bundles, monkeypatch):
    """A look that has not found it in one place finds it in the other, whichever of them it comes to first."""
    folder = bundles.make(linear_softmax())
    digest = Bundles.digest(folder)
    parts = ("maas.json", "model.onnx")

    def send_all():
        for part in parts:
            send(store, digest, part, (folder / part).read_bytes())

    def send_all_and_commit():
        send_all()
        store.commit(digest)

    looks = {
        "state": lambda: store.uploads.state(digest, "model.onnx").complete,
        "state of the manifest": lambda: store.uploads.state(digest, "maas.json").complete,
        "manifest": lambda: bool(store.uploads.manifest(digest).files),
        "chunk": lambda: send(store, digest, "model.onnx", b"").complete,
        "first manifest": lambda: send(store, digest, "maas.json", (folder / "maas.json").read_bytes()).complete,
    }
    kinds = {Path: ("stat", "read_bytes", "is_dir", "is_file", "mkdir", "replace"), os: ("open", "fsync")}
    real = {(place, kind): getattr(place, kind) for place in kinds for kind in kinds[place]}

    def look_while_it_is_committed(name, look, moment):
        """Let the other client come before one step of a look at the disk; say whether there was such a step."""
        steps = 0

        def step(what, path, *arguments, **options):
            nonlocal steps
            if isinstance(path, int) or Path(path).is_relative_to(home):
                steps += 1
                if steps == moment + 1:
                    other = threading.Thread(target=send_all_and_commit)
                    other.start()
                    other.join()
            return real[what](path, *arguments, **options)

        with monkeypatch.context() as patch:
            for place, kind in real:
                patch.setattr(place, kind, lambda *a, what=(place, kind), **o: step(what, *a, **o))
            assert look(), f"{name}: at step {moment}"
        return steps > moment

    for name, look in looks.items():
        came, moment = True, 0
        while came:
            if name != "first manifest":
                send_all()
            came = look_while_it_is_committed(name, look, moment)
            send_all_and_commit()
            assert stored(home) == {f"bundles/{digest}/{part}" for part in parts}, f"{name}: at step {moment}"
            assert not (home / "bundles/.staging" / digest).exists(), f"{name}: at step {moment}"
            store.delete(digest)
            moment += 1
        assert moment > 1


def test_a_manifest_that_two_send_at_once(home, folder, monkeypatch):
    digest = write_bundle(folder, {"weights.bin": b"0123456789"})
    manifest = (folder / "maas.json").read_bytes()
    write = uploads.write_atomic

    def another_comes_first(path, data, **options):
        write(path, data, **options)
        monkeypatch.setattr(uploads, "write_atomic", write)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(send, BundleStore(home), digest, "maas.json", manifest).result().complete

    monkeypatch.setattr(uploads, "write_atomic", another_comes_first)
    assert send(BundleStore(home), digest, "maas.json", manifest).complete


SENDER = """
import asyncio, sys
from pathlib import Path
from maas_jupyter.errors import Conflict
from maas_jupyter.serving.store import BundleStore
from maas_jupyter.serving.uploads import OffsetConflict

home, folder, digest, names = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:]
store = BundleStore(home)

async def pieces(data):
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]
        await asyncio.sleep(0)

sys.stdin.readline()
asyncio.run(store.uploads.receive(digest, "maas.json", 0, pieces((folder / "maas.json").read_bytes())))
for name in names:
    data = (folder / name).read_bytes()
    while not (state := store.uploads.state(digest, name)).complete:
        chunk = data[state.offset : state.offset + 20_000]
        try:
            asyncio.run(store.uploads.receive(digest, name, state.offset, pieces(chunk)))
        except OffsetConflict:
            pass
store.commit(digest)
"""


def test_processes_that_receive_one_bundle_at_once(home, folder):
    files = {f"{number}.bin": os.urandom(400_000 + number) for number in range(3)}
    digest = write_bundle(folder, files)
    senders = [
        subprocess.Popen(
            [sys.executable, "-c", SENDER, home, folder, digest, *files],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for sender in senders:
        sender.stdin.write("go\n")
        sender.stdin.flush()
    for sender in senders:
        _, err = sender.communicate()
        assert sender.returncode == 0, err
    assert BundleStore(home).open(digest).digest == digest
    assert stored(home) == {f"bundles/{digest}/{name}" for name in ("maas.json", *files)}


# -- what cannot be ---------------------------------------------------------------------------------------------------


def test_files_without_or_beyond_the_manifest(store, folder):
    digest = write_bundle(folder, {"weights.bin": b"0123456789"})
    for attempt in (
        lambda: send(store, digest, "weights.bin", b"0"),
        lambda: store.uploads.state(digest, "weights.bin"),
        lambda: store.commit(digest),
    ):
        with pytest.raises(InvalidInput, match=r"no maas\.json yet"):
            attempt()
    assert store.uploads.state(digest, "maas.json").offset == 0
    with pytest.raises(BundleError, match="sha256"):
        send(store, digest, "maas.json", b"{}")
    with pytest.raises(OffsetConflict) as caught:
        send(store, digest, "maas.json", b"{}", 7)
    assert caught.value.offset == 0
    with pytest.raises(BundleError, match="longer"):
        send(store, digest, "maas.json", b" " * (5 << 20))
    send(store, digest, "maas.json", (folder / "maas.json").read_bytes())
    with pytest.raises(InvalidInput, match="names no file"):
        send(store, digest, "../../x", b"0")
    with pytest.raises(BundleError, match=r"weights\.bin is missing"):
        store.commit(digest)
    assert not store.has(digest)
    with pytest.raises(NotFound):
        store.open(digest)


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "a/../../b", "", "a//b", "maas.json", "a\\b", ".", "\0", "x" * 256]
)
def test_a_manifest_that_names_files_elsewhere(store, name):
    entries = {name: FileEntry("0" * 64, 1)}
    manifest = Manifest(task="tensor", runtime="onnx", precision="fp32", signature=Signature([], []), files=entries)
    data = schema.encode(manifest)
    with pytest.raises(BundleError, match="cannot hold"):
        send(store, hashlib.sha256(data).hexdigest(), "maas.json", data)


def test_a_manifest_that_names_a_file_as_a_folder(store):
    entries = {name: FileEntry("0" * 64, 1) for name in ("a/b/c", "a/b")}
    manifest = Manifest(task="tensor", runtime="onnx", precision="fp32", signature=Signature([], []), files=entries)
    data = schema.encode(manifest)
    with pytest.raises(BundleError, match="'a/b/c', which a bundle cannot hold"):
        send(store, hashlib.sha256(data).hexdigest(), "maas.json", data)


@pytest.mark.parametrize("digest", ["", "..", "0" * 63, "0" * 65, "G" * 64, "../" + "0" * 61])
def test_what_is_no_digest(store, digest):
    with pytest.raises(InvalidInput, match="is not a digest"):
        store.has(digest)


# -- keeping and deleting ---------------------------------------------------------------------------------------------


def committed(store, folder, data):
    digest = write_bundle(folder, {"weights.bin": data})
    for name in ("maas.json", "weights.bin"):
        send(store, digest, name, (folder / name).read_bytes())
    store.commit(digest)
    return digest


def test_a_start_sweeps_what_nobody_needs(store, home, tmp_path):
    kept, dropped = (committed(store, tmp_path / name, name.encode()) for name in ("kept", "dropped"))
    started = {}
    for name in ("fresh", "stale"):
        started[name] = write_bundle(tmp_path / name, {"weights.bin": name.encode()})
        send(store, started[name], "maas.json", (tmp_path / name / "maas.json").read_bytes())
        send(store, started[name], "weights.bin", name.encode()[:2])
    staging = home / "bundles/.staging"
    long_ago = time.time() - STALE_SECONDS - 60
    for path in (staging / started["stale"], *(staging / started["stale"]).rglob("*")):
        os.utime(path, (long_ago, long_ago))
    (staging / f"{dropped}.0badcafe").mkdir()  # a deletion that did not end
    store.sweep({kept})
    assert {path.name for path in (home / "bundles").iterdir()} == {".staging", kept}
    assert [path.name for path in staging.iterdir()] == [started["fresh"]]
    assert store.uploads.state(started["fresh"], "weights.bin").offset == 2
    BundleStore(tmp_path / "nothing there").sweep([])


def test_a_damaged_bundle_is_deleted_and_can_be_sent_again(store, folder):
    digest = committed(store, folder, b"0123456789")
    (store.path(digest) / "weights.bin").write_bytes(b"012345678")
    with pytest.raises(BundleError, match="sha256") as caught:
        store.open(digest)
    assert caught.value.hint == "Publish it again to send it again."
    assert not store.has(digest)
    # Another worker comes to it later.
    with pytest.raises(BundleError) as told:
        BundleStore(store.path(digest).parent.parent).open(digest)
    assert str(told.value) == str(caught.value)
    assert committed(store, folder, b"0123456789") == digest
    store.delete(digest)
    with pytest.raises(NotFound, match="has no bundle"):
        store.open(digest)
    store.delete(digest)
    assert not store.has(digest)


def test_a_bundle_of_a_newer_format_stays(store, home, bundles):
    folder = bundles.make(linear_softmax(), format_version=2)
    digest = Bundles.digest(folder)
    shutil.copytree(folder, home / "bundles" / digest)
    with pytest.raises(BundleError, match="has bundle format 2") as caught:
        store.open(digest)
    assert "Upgrade" in caught.value.hint
    assert store.has(digest)


@pytest.mark.parametrize("name", ["maas.json", "weights.bin"])
def test_a_bundle_that_cannot_be_read_stays(store, folder, tmp_path, name):
    digest = committed(store, folder, b"0123456789")
    path = store.path(digest) / name
    path.rename(tmp_path / "aside")
    path.symlink_to(path)  # stands for any error of the disk
    with pytest.raises(BundleError, match=f"{name} cannot be read: .*symbolic links") as caught:
        store.open(digest)
    assert not isinstance(caught.value, AlteredBundle)
    path.unlink()
    (tmp_path / "aside").rename(path)
    assert store.open(digest).digest == digest


@pytest.mark.parametrize("name", ["maas.json", "weights.bin"])
def test_a_bundle_that_lacks_a_file_is_deleted(store, folder, name):
    digest = committed(store, folder, b"0123456789")
    (store.path(digest) / name).unlink()
    with pytest.raises(AlteredBundle, match=f"{name} is missing"):
        store.open(digest)
    assert not store.has(digest)


def test_a_damaged_bundle_that_cannot_be_deleted(store, folder, monkeypatch):
    digest = committed(store, folder, b"0123456789")
    (store.path(digest) / "weights.bin").write_bytes(b"X")

    def fail(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(AlteredBundle, match="sha256"):
        store.open(digest)


def test_a_sweep_while_another_process_renames_a_part(store, home, folder):
    digest = write_bundle(folder, {"weights.bin": b"0123456789"})
    send(store, digest, "maas.json", (folder / "maas.json").read_bytes())
    send(store, digest, "weights.bin", b"01")
    # What is listed and then not found.
    (home / "bundles/.staging" / digest / "parts/other.bin").symlink_to(home / "renamed")
    store.sweep([])
    assert store.uploads.state(digest, "weights.bin").offset == 2


def test_an_upload_whose_bundle_is_given_up_says_so(store, home, folder):
    data = b"0123456789"
    digest = write_bundle(folder, {"weights.bin": data})
    send(store, digest, "maas.json", (folder / "maas.json").read_bytes())

    async def scenario():
        async def slow():
            yield data[:5]
            (home / "bundles/.staging" / digest).rename(home / "gone")
            yield data[5:]

        await store.uploads.receive(digest, "weights.bin", 0, slow())

    with pytest.raises(Conflict, match="given up"):
        asyncio.run(scenario())


# -- a full disk ------------------------------------------------------------------------------------------------------


def test_a_bundle_that_is_larger_than_the_disk_is_refused_at_once(small_disk, folder):
    digest = write_bundle(folder, {"weights.bin": os.urandom(2_000_000)})
    store = BundleStore(small_disk)
    with pytest.raises(Unavailable, match="no room") as caught:
        send(store, digest, "maas.json", (folder / "maas.json").read_bytes())
    assert "Free space" in caught.value.hint
    assert stored(small_disk) == set()


def test_a_disk_that_fills_up_leaves_no_half_file(small_disk, folder):
    data = os.urandom(900_000)
    digest = write_bundle(folder, {"weights.bin": data})
    store = BundleStore(small_disk)
    send(store, digest, "maas.json", (folder / "maas.json").read_bytes())
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(500_000))
    with pytest.raises(Unavailable, match="No space left"):
        send(store, digest, "weights.bin", data)
    assert stored(small_disk) == {"ballast", f"bundles/.staging/{digest}/files/maas.json"}
    ballast.unlink()
    assert send(store, digest, "weights.bin", data).complete
    store.commit(digest)
    assert Path(store.path(digest) / "weights.bin").read_bytes() == data
