from __future__ import annotations

import pytest

from airflow_mlops_provider.factory.check import LintedFile
from airflow_mlops_provider.factory.errors import FileError
from airflow_mlops_provider.factory.show import errors_text, summary_text


def shown(raw: bytes, line: int, column: int) -> list[str]:
    error = FileError("a.yaml", line, column, "key", "wrong")
    return errors_text([LintedFile("a.yaml", raw, [error])], "text").splitlines()


def test_a_caret_stands_below_the_place() -> None:
    assert shown(b"a: 1\nb:  x\n", 2, 5) == ["a.yaml:2:5 key: wrong", "    2 | b:  x", "      |     ^"]


@pytest.mark.parametrize(
    ("line", "column", "spaces"),
    [("\tb: x", 5, 4), ("東京: x", 5, 6), ("\x1b[31mb: x", 5, 4), ("\ufeffa: x", 4, 3), ("é: x", 4, 3)],
)
def test_a_caret_counts_columns_of_a_terminal(line: str, column: int, spaces: int) -> None:
    _, source, caret = shown(line.encode(), 1, column)

    assert caret == "      | " + " " * spaces + "^"
    assert source.isprintable()


def test_of_a_long_line_the_part_around_the_place_is_shown() -> None:
    _, source, caret = shown(b"a: [" + b"x, " * 500 + b"WRONG" + b", x" * 500 + b"]", 1, 1505)

    assert len(source) < 140
    assert source[caret.index("^") :].startswith("WRONG")


@pytest.mark.parametrize(("raw", "line"), [(b"", 1), (b"a: 1\n", 7), (b"a: 1\n\n", 2)])
def test_a_line_that_is_not_there_or_empty_is_not_shown(raw: bytes, line: int) -> None:
    assert shown(raw, line, 1) == [f"a.yaml:{line}:1 key: wrong"]


def test_lines_are_counted_as_yaml_counts_them() -> None:
    assert shown("a: 1\r\nb: \u2028c\rd: x\n".encode(), 4, 1)[1] == "    4 | d: x"


@pytest.mark.parametrize(
    ("errors", "said"),
    [((0,), "1 file: no error"), ((0, 0), "2 files: no error"), ((1,), "1 error in 1 file"),
     ((2, 0, 1), "3 errors in 2 of 3 files")],
)  # fmt: skip
def test_the_summary_counts_files_and_errors(errors: tuple[int, ...], said: str) -> None:
    error = FileError("a", 1, 1, "", "wrong")

    assert summary_text([LintedFile("a", b"", [error] * number) for number in errors]) == said
