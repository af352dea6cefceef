"""A bundle's zip: the same files give the same bytes, nothing climbs out, nothing is written that was not packed."""

from __future__ import annotations

import hashlib
import io
import os
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops_provider.exceptions import DataError, TransientError
from airflow_mlops_provider.runners import bundle
from airflow_mlops_provider.runners.bundle import fetch, pack, ship, unpack

FILES = {
    "pipeline.yaml": b"pipeline: p\n",
    "include/model.py": b"def train(): ...\n",
    "dbt/models/a.sql": b"select 1\n",
    "dbt/seeds/b.csv": "id,\u00e4\n".encode(),
}


def write(folder, files):
    for name, content in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return Path(folder)


def read(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()
    }


def digest(content):
    return hashlib.sha256(content).hexdigest()


def zip_of(entries):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return sink.getvalue()


def test_what_is_packed_comes_out(tmp_path):
    content = pack(write(tmp_path / "a", FILES))
    unpack(content, tmp_path / "b", digest(content))
    assert read(tmp_path / "b") == FILES


def test_the_same_files_give_the_same_bytes_whenever_and_in_whatever_order_they_were_written(tmp_path):
    one = write(tmp_path / "one", FILES)
    other = write(tmp_path / "other", dict(reversed(FILES.items())))
    for path in other.rglob("*"):
        os.utime(path, (0, 0))
        path.chmod(0o755)
    assert pack(one) == pack(other)


def test_hidden_files_caches_and_what_no_pipeline_has_stay_out(tmp_path):
    left = (".env.txt", ".git/config.yaml", "__pycache__/a.py", "model.pkl", "data.parquet", "include/.cache/b.py")
    write(tmp_path, FILES | dict.fromkeys(left, b"no"))
    lake = write(tmp_path / "lake", {"t/_delta_log/0.json": b"{}"})
    content = pack(tmp_path, leave_out=lake)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == sorted(FILES)


def test_a_link_within_the_bundle_is_packed_as_its_file(tmp_path):
    write(tmp_path / "a", FILES)
    (tmp_path / "a" / "same.py").symlink_to("include/model.py")
    content = pack(tmp_path / "a")
    unpack(content, tmp_path / "b", digest(content))
    assert read(tmp_path / "b")["same.py"] == FILES["include/model.py"]


def test_links_that_lead_out_are_refused(tmp_path):
    write(tmp_path, {"secret.txt": b"secret", "folder/a.py": b""})
    write(tmp_path / "a", FILES)
    link = tmp_path / "a" / "notes.txt"
    link.symlink_to(tmp_path / "secret.txt")
    with pytest.raises(DataError, match=r"notes\.txt is a link out of the bundle"):
        pack(tmp_path / "a")
    link.unlink()
    (tmp_path / "a" / "more").symlink_to(tmp_path / "folder")
    with pytest.raises(DataError, match="more is a link to a folder"):
        pack(tmp_path / "a")


def test_a_bundle_that_is_too_large_names_its_largest_file(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "MAX_BYTES", 2**20)
    write(tmp_path, FILES | {"include/table.csv": b"x" * 2**20})
    with pytest.raises(DataError, match=r"has 1\.0 MiB of files for a pod, at most 1 are sent.*include/table\.csv"):
        pack(tmp_path)


def test_a_zip_that_was_changed_is_refused_before_a_file_is_written(tmp_path):
    content = pack(write(tmp_path / "a", FILES))
    changed = content.replace(b"select 1", b"select 2")
    with pytest.raises(DataError, match=f"has sha256 {digest(changed)}, not {digest(content)}"):
        unpack(changed, tmp_path / "b", digest(content))
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("name", ["../out.py", "a/../../out.py", "/out.py", "..\\out.py"])
def test_no_path_climbs_out(tmp_path, name):
    content = zip_of([("good.py", b""), (name, b"")])
    with pytest.raises(DataError, match="is no file below its folder"):
        unpack(content, tmp_path / "b", digest(content))
    assert not (tmp_path / "b").exists()


def test_no_link_is_made(tmp_path):
    entry = zipfile.ZipInfo("link.py")
    entry.external_attr = 0o120777 << 16
    content = zip_of([(entry, b"/etc/hostname")])
    with pytest.raises(DataError, match=r"'link\.py', which is no file"):
        unpack(content, tmp_path / "b", digest(content))


@given(st.binary(max_size=200))
def test_bytes_that_are_no_zip_are_refused(content):
    with pytest.raises(DataError, match="cannot be read"):
        unpack(content, "/nowhere", digest(content))


def test_one_zip_is_written_once_and_again_when_it_is_old(tmp_path):
    lake = str(tmp_path / "lake")
    code = ship(lake, write(tmp_path / "a", FILES))
    path = tmp_path / "lake" / code["path"]
    assert code["path"] == f"_code/{code['sha256']}.zip"
    written = path.stat().st_mtime_ns
    assert ship(lake, tmp_path / "a") == code
    assert path.stat().st_mtime_ns == written
    os.utime(path, (time.time() - 2 * 86400,) * 2)
    assert ship(lake, tmp_path / "a") == code
    assert path.stat().st_mtime_ns > written


def test_a_lake_inside_the_bundle_is_not_part_of_it(tmp_path):
    write(tmp_path, FILES)
    lake = str(tmp_path / "lake")
    first = ship(lake, tmp_path)
    write(tmp_path / "lake" / "t" / "_delta_log", {"0.json": b"{}"})
    assert ship(lake, tmp_path) == first


def test_a_zip_that_is_gone_is_packed_again_by_a_retry(tmp_path):
    lake = str(tmp_path / "lake")
    code = ship(lake, write(tmp_path / "a", FILES))
    (tmp_path / "lake" / code["path"]).unlink()
    with pytest.raises(TransientError, match="a retry packs the bundle again"):
        fetch(lake, code, tmp_path / "b")
    fetch(lake, ship(lake, tmp_path / "a"), tmp_path / "b")
    assert read(tmp_path / "b") == FILES
