"""Checkpoints: what was kept comes back whole or not at all."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_mlops_provider.contracts.protocol import Message
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps.checkpoint import Checkpoint, clear
from airflow_mlops_provider.steps.lake import Lake

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


@pytest.fixture
def said():
    return []


@pytest.fixture
def checkpoint(lake, said):
    """A new try's view of the same work."""
    return lambda **more: Checkpoint(lake, "p/train/1", emit=said.append, **more)


def kept(lake):
    """The files of the newest checkpoint and of the one before it."""
    return sorted(Path(lake.root).glob("_checkpoints/*/fit/*"), reverse=True)


def test_the_newest_comes_back_and_two_are_kept(checkpoint, lake):
    assert checkpoint().restore() is None
    for step in range(5):
        checkpoint().save(b"state %d" % step, step=step)
        assert checkpoint().restore() == b"state %d" % step
    assert [path.suffix for path in kept(lake)] == [".json", ".data"] * 2
    clear(lake, "p/train/1")
    assert checkpoint().restore() is None


def test_keys_and_parts_have_their_own(checkpoint, lake):
    checkpoint().save(b"fit")
    checkpoint(part="refit").save(b"refit")
    assert checkpoint().restore() == b"fit"
    assert Checkpoint(lake, "p/train/2").restore() is None
    clear(lake, "p/train/2")
    assert checkpoint(part="refit").restore() == b"refit"


def test_a_folder_comes_back_as_it_was(checkpoint, tmp_path):
    folder = tmp_path / "state"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "weights.bin").write_bytes(os.urandom(3_000_000))
    weights = (folder / "deep" / "weights.bin").read_bytes()
    checkpoint().save_dir(folder, step=1)
    (folder / "deep" / "weights.bin").write_bytes(b"newer, never kept")
    (folder / "newer").touch()
    assert checkpoint().restore_dir(folder)
    assert [path.name for path in folder.rglob("*")] == ["deep", "weights.bin"]
    assert (folder / "deep" / "weights.bin").read_bytes() == weights
    assert checkpoint().restore_dir(tmp_path / "not" / "yet" / "there")


def test_without_one_a_folder_is_left_alone(checkpoint, tmp_path):
    (tmp_path / "mine").write_text("")
    assert not checkpoint().restore_dir(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.name != "lake"] == ["mine"]


@pytest.mark.parametrize(
    ("suffix", "content"), [(".data", b"state 1"), (".data", b""), (".data", b"state 2!"), (".json", b'{"kind": "by')]
)
def test_a_torn_one_is_passed_over_with_a_warning(checkpoint, lake, said, suffix, content):
    for step in range(3):
        checkpoint().save(b"state %d" % step, step=step)
    next(path for path in kept(lake) if path.suffix == suffix).write_bytes(content)
    assert checkpoint().restore() == (b"state 1")
    assert said[-2].level == "warning"
    assert re.fullmatch(r"checkpoint 00000003-\w+ cannot be used, the one before it is: .+", said[-2].text)
    checkpoint().save(b"state 3")
    assert checkpoint().restore() == b"state 3"


def test_one_that_cannot_be_read_is_passed_over(checkpoint, lake, said):
    for step in range(2):
        checkpoint().save(b"state %d" % step)
    data = next(path for path in kept(lake) if path.suffix == ".data")
    data.unlink()
    data.mkdir()
    assert checkpoint().restore() == b"state 0"
    assert "IsADirectoryError" in said[-2].text


def test_a_torn_folder_touches_nothing(checkpoint, lake, tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "weights").write_text("kept")
    checkpoint().save_dir(folder)
    (data,) = (path for path in kept(lake) if path.suffix == ".data")
    # Still an archive: only the hash tells.
    data.write_bytes(data.read_bytes().replace(b"kept", b"torn"))
    (folder / "weights").write_text("newer")
    assert not checkpoint().restore_dir(folder)
    assert (folder / "weights").read_text() == "newer"
    assert {path.name for path in tmp_path.iterdir()} == {"state", "lake"}


def test_data_without_its_manifest_is_none_and_goes(checkpoint, lake):
    checkpoint().save(b"state 0")
    for name in ("00000002-cut.data", "00000002-cut.data.0.part"):
        (kept(lake)[0].parent / name).write_bytes(b"half")
    assert checkpoint().restore() == b"state 0"
    checkpoint().save(b"state 1")
    assert len(kept(lake)) == 4


def test_a_full_disk_costs_the_checkpoint_not_the_training(tmp_path):
    """In a process of its own, whose files may not grow beyond 10 kB; the one that fits stays."""
    script = f"""
import resource, signal
from airflow_mlops_provider.steps.checkpoint import Checkpoint
from airflow_mlops_provider.steps.lake import Lake
made = Checkpoint(Lake({str(tmp_path / "lake")!r}), "run", emit=lambda message: print(message.level, message.text))
made.save(b"fits", step=1)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
made.save(b"x" * 100_000, step=2)
print(made.restore())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    warning, going_on, found = done.stdout.splitlines()
    assert warning.startswith("warning the checkpoint of step 2 could not be written, the one before it stays: OSError")
    assert re.fullmatch(r"info going on from the checkpoint of \S+, step 1", going_on)
    assert found == "b'fits'"
    assert len(list((tmp_path / "lake").rglob("*.*"))) == 2


def test_what_was_made_from_something_else_is_left_alone(checkpoint, said):
    checkpoint(work="rate 0.1").save(b"of another rate")
    assert checkpoint(work="rate 0.2").restore() is None
    assert "made from other data or parameters" in said[-1].text
    assert checkpoint(work="rate 0.1").restore() == b"of another rate"


def test_what_is_wrong_with_a_call_is_said(checkpoint, tmp_path):
    with pytest.raises(DataError, match=r"checkpoint.save takes bytes, not str; see also save_dir"):
        checkpoint().save("text")
    with pytest.raises(DataError, match="nowhere is no folder"):
        checkpoint().save_dir("nowhere")
    with pytest.raises(DataError, match=r"replaces \.: give a folder of its own"):
        checkpoint().restore_dir(".")
    checkpoint().save(b"bytes")
    with pytest.raises(DataError, match=r"the checkpoint holds bytes: restore\(\) is for save\(\)"):
        checkpoint().restore_dir(tmp_path / "state")


def test_in_a_bucket_it_is_the_same(s3, bucket, tmp_path):
    lake = Lake(f"s3://{bucket[1]}/lake", s3)
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "weights").write_bytes(b"w" * 100_000)
    for step in range(3):
        Checkpoint(lake, "run", part="refit").save_dir(folder, step=step)
        Checkpoint(lake, "run").save(b"state %d" % step)
    client, name = bucket
    found = sorted(entry["Key"] for entry in client.list_objects_v2(Bucket=name)["Contents"])
    assert len(found) == 8
    client.put_object(Bucket=name, Key=next(key for key in reversed(found) if "/fit/" in key)[:-5] + ".data", Body=b"?")
    said: list[Message] = []
    assert Checkpoint(lake, "run", emit=said.append).restore() == b"state 1"
    assert said[0].level == "warning"
    assert Checkpoint(lake, "run", part="refit").restore_dir(tmp_path / "again")
    assert (tmp_path / "again" / "weights").read_bytes() == b"w" * 100_000
    clear(lake, "run")
    assert "Contents" not in client.list_objects_v2(Bucket=name)
