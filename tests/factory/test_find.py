from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.find import pipeline_files


def found(folder: Path, *named: str) -> list[str]:
    files = pipeline_files([folder / name for name in named])
    return [path.relative_to(folder).as_posix() for path, _ in files]


@pytest.mark.parametrize(
    ("content", "is_one"),
    [
        (b"# a comment\npipeline: a\n", True),
        (b'owner: b\n"pipeline": a\n', True),
        (b"{pipeline: a, data: {}}", True),
        (b"pipeline: [broken\n", True),
        (b"pipeline: a\nowner: Z\xfcrich\n", True),
        ("\ufeffpipeline: a\n".encode(), True),
        ("pipeline: a\n".encode("utf-16"), True),
        (b"models:\n  pipeline: a\n", False),
        (b"pipelines: a\n", False),
        (b"- pipeline: a\n", False),
        (b"", False),
    ],
)
def test_a_pipeline_file_has_the_key_at_the_margin(tmp_path: Path, content: bytes, is_one: bool) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    (tmp_path / "b.yaml").write_text("pipeline: b\n")

    assert found(tmp_path, ".") == (["a.yaml", "b.yaml"] if is_one else ["b.yaml"])


def test_folders_are_searched_in_order_and_each_file_comes_once(tmp_path: Path) -> None:
    for name in ("b/z.yml", "b/a.yaml", "a.yaml", ".hidden/a.yaml", "c/.a.yaml", "c/a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("pipeline: x\n")

    assert found(tmp_path, "b/z.yml", ".", "b") == ["b/z.yml", "a.yaml", "b/a.yaml"]


def test_a_file_that_is_named_is_taken_whatever_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("nothing")

    assert found(tmp_path, "a.txt", "absent.yaml") == ["a.txt", "absent.yaml"]


def test_a_folder_without_a_pipeline_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("version: 2\n")

    with pytest.raises(ConfigError, match=r"no pipeline file below it; one ends in \.yaml and has the key `pipeline`$"):
        pipeline_files([tmp_path])
