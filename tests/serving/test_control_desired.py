"""The desired state and its history on disk, and what a process that ended in the middle leaves of them."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maas_jupyter import schema
from maas_jupyter.errors import BundleError, InvalidInput
from maas_jupyter.schema import HistoryEntry, ServedModel, ServedVersion
from maas_jupyter.serving.control import traffic
from maas_jupyter.serving.control.desired import DesiredState
from maas_jupyter.serving.control.history import History, Recent


def model(version="1", name="digits", **fields):
    return ServedModel(name, [ServedVersion(version, f"digest of {version}")], **fields)


def entry(revision, **fields):
    return HistoryEntry(revision, float(revision), "publish", "me", model(str(revision)), **fields)


# -- history ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.text(), st.text(), st.sampled_from(["publish", "unpublish"])), max_size=20))
def test_history_gives_back_what_was_appended(tmp_path_factory, rows):
    history = History(tmp_path_factory.mktemp("history"))
    entries = [
        HistoryEntry(number, 1.5, action, "me", model() if action == "publish" else None, user, reason)
        for number, (user, reason, action) in enumerate(rows, 1)
    ]
    for each in entries:
        history.append("digits", each)
    assert history.read("digits") == history.recent("digits").entries == history.recover("digits").entries == entries
    assert history.names() == (["digits"] if entries else [])


def test_recent_reads_the_end_of_a_long_history(tmp_path):
    history = History(tmp_path)
    for number in range(1, 1001):
        history.append("digits", entry(number))
    recent, readable = history.recent("digits")
    assert readable
    assert 100 < len(recent) < 1000
    assert recent == history.read("digits")[-len(recent) :]


def test_an_entry_that_is_longer_than_the_tail(tmp_path):
    history = History(tmp_path)
    history.append("digits", entry(1))
    history.append("digits", entry(2, reason="x" * 200_000))
    assert [each.revision for each in history.recent("digits").entries] == [1, 2]
    size = history.append("digits", entry(3))
    assert [each.revision for each in history.recent("digits").entries] == [1, 2, 3]
    history.truncate("digits", size)
    path = tmp_path / "history" / "digits.jsonl"
    os.truncate(path, path.stat().st_size - 10)
    assert history.recover("digits").entries == history.read("digits") == [entry(1)]


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_torn_line_is_cut_off(tmp_path, data):
    home = tmp_path / "home"
    shutil.rmtree(home, ignore_errors=True)
    history = History(home)
    for number in (1, 2):
        history.append("digits", entry(number))
    path = home / "history" / "digits.jsonl"
    whole = path.read_bytes()
    line = msgspec.json.encode(entry(3)) + b"\n"
    torn = data.draw(
        st.one_of(
            st.integers(0, len(line) - 1).map(lambda end: line[:end]),
            st.integers(1, 5000).map(bytes),  # what some file systems leave after a power cut
            st.binary(max_size=300).filter(lambda junk: b"\n" not in junk),
            st.integers(1, len(line) - 2).map(lambda start: line[start:]),
        )
    )
    path.write_bytes(whole + torn)
    assert history.read("digits") == history.recent("digits").entries == [entry(1), entry(2)]
    assert path.read_bytes() == whole + torn  # looking changes nothing
    history.append("digits", entry(3))
    assert path.read_bytes() == whole + line
    assert history.recover("digits") == Recent([entry(1), entry(2), entry(3)], readable=True)


def test_damage_in_the_middle_is_said_and_hides_nothing_after_it(tmp_path):
    history = History(tmp_path)
    for number in (1, 2, 3, 4):
        history.append("digits", entry(number))
    path = tmp_path / "history" / "digits.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"X" + lines[1], *lines[2:]]))
    with pytest.raises(BundleError, match=r"Line 2 of .*digits\.jsonl cannot be read"):
        history.read("digits")
    assert history.recover("digits") == Recent([entry(3), entry(4)], readable=False)


NOT_OURS = {
    "of another version": msgspec.json.encode(entry(3)).replace(b'"publish"', b'"freeze"'),
    "nested too deeply": b'{"reason":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("line", NOT_OURS.values(), ids=NOT_OURS)
def test_a_whole_line_that_this_version_cannot_read_stays(tmp_path, line):
    history = History(tmp_path)
    for number in (1, 2):
        history.append("digits", entry(number))
    path = tmp_path / "history" / "digits.jsonl"
    whole = path.read_bytes() + line + b"\n"
    path.write_bytes(whole)
    for _ in range(2):
        assert history.recover("digits") == history.recent("digits") == Recent([], readable=False)
    with pytest.raises(BundleError, match=r"Line 3 of .* cannot be read") as caught:
        history.read("digits")
    assert "newer" in caught.value.hint
    history.append("digits", entry(4))
    assert path.read_bytes() == whole + msgspec.json.encode(entry(4)) + b"\n"
    assert history.recover("digits") == Recent([entry(4)], readable=False)


def test_a_last_line_that_is_not_utf8_is_cut_off(tmp_path):
    history = History(tmp_path)
    history.append("digits", entry(1))
    path = tmp_path / "history" / "digits.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole.replace(b"publish", b"pub\xffsh"))
    assert history.read("digits") == [entry(1)]
    assert history.recover("digits") == Recent([entry(1)], readable=True)
    assert path.read_bytes() == whole
    path.write_bytes(whole.replace(b"publish", b"pub\xffsh") + whole)
    with pytest.raises(BundleError, match="Line 1 of"):
        history.read("digits")
    assert history.recover("digits") == Recent([entry(1)], readable=False)


def test_a_history_that_never_was(tmp_path):
    history = History(tmp_path)
    assert history.read("digits") == history.recent("digits").entries == history.names() == []
    assert history.recover("digits") == Recent([], readable=True)
    for name in ("../x", "a/b", ""):
        with pytest.raises(InvalidInput):
            history.read(name)


# -- desired state ----------------------------------------------------------------------------------------------------


def test_commit_writes_both_and_counts_on(tmp_path):
    desired = DesiredState(tmp_path)
    first = desired.commit("digits", "publish", model("1"), by="me", user="ada", reason="better")
    second = desired.commit("digits", "publish", model("2"), by="me")
    assert (first.revision, second.revision) == (1, 2)
    assert desired.read() == ({"digits": second}, {})
    assert desired.commit("digits", "unpublish", None, by="me") is None
    assert desired.read() == ({}, {})
    assert desired.commit("digits", "publish", model("1"), by="you").revision == 4
    entries = desired.history.read("digits")
    assert [(each.revision, each.action, each.by) for each in entries] == [
        (1, "publish", "me"),
        (2, "publish", "me"),
        (3, "unpublish", "me"),
        (4, "publish", "you"),
    ]
    assert (entries[0].user, entries[0].reason, entries[2].model) == ("ada", "better", None)


@pytest.mark.parametrize("lost", ["models", "history"])
def test_revisions_go_on_whatever_of_the_two_is_lost(tmp_path, lost):
    desired = DesiredState(tmp_path)
    desired.commit("digits", "publish", model("1"), by="me")
    desired.commit("digits", "publish", model("2"), by="me")
    shutil.rmtree(tmp_path / lost)
    models, broken, _ = DesiredState(tmp_path).recover()
    assert (models, broken) == ({"digits": model("2", revision=2)}, {})
    assert desired.commit("digits", "publish", model("3"), by="me").revision == 3


def test_a_broken_file_is_written_anew_from_the_history(tmp_path):
    desired = DesiredState(tmp_path)
    served = desired.commit("digits", "publish", model("1"), by="me")
    (tmp_path / "models" / "digits.json").write_text('{"name": "dig')
    (tmp_path / "models" / "other.json").write_text("{")
    assert set(desired.read()[1]) == {"digits", "other"}
    models, broken, _ = desired.recover()
    assert models == {"digits": served}
    assert list(broken) == ["other"]
    assert schema.decode((tmp_path / "models" / "digits.json").read_bytes(), ServedModel, where="") == served


def test_files_that_are_none_of_ours_do_no_harm(tmp_path):
    desired = DesiredState(tmp_path)
    served = desired.commit("digits", "publish", model("1"), by="me")
    (tmp_path / "history" / "no name!.jsonl").write_text("{}\n")
    (tmp_path / "history" / "notes.txt").write_text("{}\n")
    (tmp_path / "history" / "folder.jsonl").mkdir()
    (tmp_path / "models" / "notes.txt").write_text("{}\n")
    (tmp_path / "models" / "other.json").mkdir()
    (tmp_path / "models" / "no name!.json").write_text("{}\n")
    (tmp_path / "models" / os.fsdecode(b"one byte \xff.json")).write_text("{}\n")
    models, broken, _ = desired.recover()
    assert models == {"digits": served}
    assert list(broken) == ["other"]


BYTES = {"not utf-8": b'{"name":"b\xffd"}', "nested too deeply": b"[" * 100_000, "no json": b"{", "nothing": b""}


@pytest.mark.parametrize("data", BYTES.values(), ids=BYTES)
def test_a_file_of_any_bytes_hides_no_other(tmp_path, data):
    desired = DesiredState(tmp_path)
    served = {name: desired.commit(name, "publish", model("1", name), by="me") for name in ("bad", "digits")}
    (tmp_path / "models" / "bad.json").write_bytes(data)
    assert desired.read()[0] == {"digits": served["digits"]}
    assert desired.recover() == (served, {}, {name: {"digest of 1"} for name in served})
    (tmp_path / "history" / "bad.jsonl").write_bytes(data + b"\n")
    assert desired.recover()[:2] == (served, {})
    (tmp_path / "models" / "bad.json").write_bytes(data)
    models, broken, kept = desired.recover()
    assert (models, list(broken), kept) == ({"digits": served["digits"]}, ["bad"], None)


def test_what_is_needed_is_unknown_where_a_history_cannot_be_read(tmp_path):
    desired = DesiredState(tmp_path)
    served = {name: desired.commit(name, "publish", model("1", name), by="me") for name in ("bad", "digits")}
    assert desired.kept("bad", served["bad"]) == ({"digest of 1"}, True)
    path = tmp_path / "history" / "bad.jsonl"
    with path.open("ab") as file:
        file.write(b'{"revision":2,"of":"a newer version"}\n')
    assert desired.recover() == (served, {}, None)
    assert desired.kept("bad", served["bad"]) == ({"digest of 1"}, False)
    path.unlink()
    path.mkdir()  # stands for any error of the disk
    assert desired.recover() == (served, {}, None)
    assert desired.kept("bad", served["bad"]) == ({"digest of 1"}, False)


def test_a_line_that_cannot_be_read_needs_the_bundles_that_it_names(tmp_path):
    desired = DesiredState(tmp_path)
    first = desired.commit("digits", "publish", model("1"), by="me")
    named = {"ab" * 32, "0" * 64}
    line = '{"revision":2,"of":"a newer version","digests":' + str(sorted(named)).replace("'", '"') + "}\n"
    with (tmp_path / "history" / "digits.jsonl").open("a") as file:
        file.write(line)
    assert desired.kept("digits", first) == ({"digest of 1", *named}, True)
    assert desired.kept("digits", None) == (named, True)
    assert desired.recover() == ({"digits": first}, {}, {"digits": {"digest of 1", *named}})


def test_a_withdrawn_model_keeps_no_bundles(tmp_path):
    desired = DesiredState(tmp_path)
    for version in "1234567":
        desired.commit("digits", "publish", model(version), by="me")
    desired.commit("gone", "publish", model("1", "gone"), by="me")
    desired.commit("gone", "unpublish", None, by="me")
    _, _, kept = desired.recover()
    assert kept == {"digits": {f"digest of {version}" for version in "34567"}, "gone": set()}


# -- ends at any point ------------------------------------------------------------------------------------------------


def files(home):
    return {path.relative_to(home): path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file()}


def lay_out(home, contents):
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    for path, data in contents.items():
        (home / path).parent.mkdir(exist_ok=True)
        (home / path).write_bytes(data)


def moments(before, after):
    """Yield the files as they are at every point of a commit: each byte of each write, and each step between them."""
    history, file = Path("history/digits.jsonl"), Path("models/digits.json")
    old = before.get(history, b"")
    line = after[history][len(old) :]
    for end in range(len(line) + 1):
        yield {**before, history: old + line[:end]}
    logged = {**before, history: after[history]}
    yield logged
    if file in after:
        for end in range(0, len(after[file]) + 1, 7):
            yield {**logged, file.with_name(".digits.json.1a2b3c4d"): after[file][:end]}
    yield after


@pytest.mark.parametrize("steps", [["1"], ["1", "2"], ["1", None], ["1", None, "2"]], ids=str)
def test_a_commit_that_is_cut_at_any_point_is_made_or_not(tmp_path, steps):
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    desired = DesiredState(home)
    states = [(files(home), None)]
    for version in steps:
        done = desired.commit("digits", "publish" if version else "unpublish", version and model(version), by="me")
        states.append((files(home), done))
    (before, old), (after, new) = states[-2:]
    for contents in moments(before, after):
        lay_out(scratch, contents)
        again = DesiredState(scratch)
        models, broken, _ = again.recover()
        assert broken == {}
        found = models.get("digits")
        assert found in (old, new)
        entries = again.history.read("digits")
        assert (entries[-1].model if entries else None) == found
        assert len(entries) == (len(steps) if found == new else len(steps) - 1)
        assert not [path for path in scratch.rglob("*") if path.name.startswith(".")]
        assert again.recover()[0] == models  # once is enough
        following = again.commit("digits", "publish", model("9"), by="me")
        revisions = [each.revision for each in again.history.read("digits")]
        assert following.revision == revisions[-1]
        assert revisions == list(range(1, len(revisions) + 1))


WRITER = """
import itertools, sys
from pathlib import Path
from maas_jupyter.schema import ServedModel, ServedVersion
from maas_jupyter.serving.control.desired import DesiredState
desired = DesiredState(Path(sys.argv[1]))
desired.recover()
for number in itertools.count():
    name = f"m{number % 3}"
    if number % 10 == 9:
        done = desired.commit(name, "unpublish", None, by="me")
    else:
        done = desired.commit(name, "publish", ServedModel(name, [ServedVersion(str(number), "d")]), by="me")
    print(name, done.revision if done else 0, flush=True)
"""


def test_a_writer_that_is_killed_again_and_again_loses_nothing_that_it_said(tmp_path):
    for wait in range(12):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True)
        said = dict(line.split() for line in itertools.islice(writer.stdout, 5 + 7 * wait))
        writer.send_signal(signal.SIGKILL)
        said.update(line.split() for line in writer.stdout if line.endswith("\n"))
        writer.wait()
        writer.stdout.close()
        desired = DesiredState(tmp_path)
        models, broken, _ = desired.recover()
        assert broken == {}
        for name, revision in said.items():
            entries = desired.history.read(name)
            assert entries[-1].model == models.get(name)
            assert entries[-1].revision >= int(revision)
            revisions = [each.revision for each in entries]
            assert revisions == list(range(1, len(revisions) + 1))
            assert bool(traffic.entered(entries)) == (name in models)


@pytest.mark.parametrize("known", [True, False])
def test_a_full_disk_changes_nothing(small_disk, fill, known):
    desired = DesiredState(small_disk)
    if known:
        desired.commit("digits", "publish", model("1"), by="me")
    before = files(small_disk)
    filler = fill(small_disk)
    with pytest.raises(OSError, match="No space left"):
        desired.commit("digits", "publish", model("2"), by="me")
    filler.unlink()
    assert {path: data for path, data in files(small_disk).items() if data} == before
    assert desired.recover()[0] == ({"digits": model("1", revision=1)} if known else {})
    assert desired.commit("digits", "publish", model("3"), by="me").revision == (2 if known else 1)


def test_a_disk_that_is_full_at_a_start_loses_nothing_of_an_unfinished_change(small_disk, fill):
    desired = DesiredState(small_disk)
    first = desired.commit("digits", "publish", model("1"), by="me")
    second = model("2", revision=2)
    desired.history.append("digits", HistoryEntry(2, 1.0, "publish", "me", second))
    filler = fill(small_disk)
    kept = {"digits": {"digest of 1", "digest of 2"}}
    assert DesiredState(small_disk).recover() == ({"digits": first}, {}, kept)
    filler.unlink()
    assert DesiredState(small_disk).recover() == ({"digits": second}, {}, kept)


def test_a_withdrawal_that_cannot_be_finished_keeps_what_serves(tmp_path, monkeypatch):
    desired = DesiredState(tmp_path)
    first = desired.commit("digits", "publish", model("1"), by="me")
    desired.history.append("digits", HistoryEntry(2, 1.0, "unpublish", "me", None))

    def fail(*_, **__):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", fail)
        assert desired.recover() == ({"digits": first}, {}, {"digits": {"digest of 1"}})
    assert desired.recover() == ({}, {}, {"digits": set()})
