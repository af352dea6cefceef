"""What is no CSV is refused with the line and the way out; what is one is read as it stands."""

import csv
import io
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.scaffold.csv_file import csv_file
from airflow_mlops_provider.steps.lake import BATCH_COLUMN
from airflow_mlops_provider.steps.rows import PLACE
from airflow_mlops_provider.steps.train import PREDICTION


def put(folder: Path, content: str | bytes) -> Path:
    path = folder / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"a,b\n", "has a header and no row below it"),
        ("a,b\n1,2\n3,é\n".encode("latin-1"), r"line 3: byte 0xE9 is not UTF-8; .* iconv -f WINDOWS-1252 -t UTF-8"),
        (b"a,b\n1,2\n3,4,5\n", r"line 3: 3 fields, the header has 2: '3,4,5'"),
        (b'a,b\n1,"x\ny"\n3\n', r"line 4: 1 fields, the header has 2: '3'"),
        (b'a,b\n1,"x"y\n', "line 2: "),
        (b'a,b\n1,"x\n', "line 2: unexpected end of data"),
        (b"a,b,A\n1,2,3\n", "columns 'A', 'a' have one name"),
        (b",a\n1,2\n", r"column 1 has no name: .* to_csv\(index=False\)"),
        (b"a,_batch\n1,2\n", "'_batch' is this package's own"),
        (b"a,{{ x }}\n1,2\n", "has characters that a pipeline file cannot hold"),
        (b"a\n1\n", "has one column"),
        (b"sep=;\na;b\n1;2\n", "the first line is Excel's 'sep=': remove it"),
        (b"\xef\xbb\xbfSEP=,\r\na,b\r\n", "the first line is Excel's 'sep=': remove it"),
        (",".join(f"c{n}" for n in range(2001)) + "\n", "has 2,001 columns: at most 2,000 can be looked at"),
        (b"PK\x03\x04rest", "an Excel workbook"),
        (b"\xd0\xcf\x11\xe0rest", "an old Excel workbook"),
        (b"PAR1rest", "a Parquet file"),
        (b"\x1f\x8brest", "is compressed"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16: convert it"),
        (b"a,b\n1,\x00\n", "a binary file"),
        (b"a,b\n" + b"1,2\n" * 3000 + b"1,\x00\n", "line 3002: a NUL byte, no CSV"),
    ],
)
def test_what_is_no_csv_is_refused(tmp_path, content, says):
    with pytest.raises(DataError, match=says):
        csv_file(put(tmp_path, content))


@pytest.mark.parametrize("name", [BATCH_COLUMN, PLACE, PREDICTION, "#y", "#a", "#b"])
def test_the_steps_own_columns_are_refused(tmp_path, name):
    with pytest.raises(DataError, match="is this package's own"):
        csv_file(put(tmp_path, f"a,{name}\n1,2\n"))


def test_the_way_out_can_be_pasted(tmp_path):
    path = tmp_path / "a b; x.csv"
    path.write_bytes("a,b\n1,é\n".encode("latin-1"))
    with pytest.raises(DataError) as found:
        csv_file(path)
    words = shlex.split(str(found.value).partition("such as with ")[2], posix=True)
    assert words[-3:] == [str(path), ">", str(tmp_path / "a b; x_utf8.csv")]


def test_no_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match="no file"):
        csv_file(tmp_path / "x.csv")
    with pytest.raises(DataError, match="is no file"):
        csv_file(tmp_path)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path, delimiter):
    rows = "".join(f'{n}{delimiter}"x, {n}; y"{delimiter}1{"," if delimiter != "," else "."}5\n' for n in range(9))
    found = csv_file(put(tmp_path, f"a{delimiter}b{delimiter}c\n{rows}"))
    assert (found.delimiter, found.columns, found.rows) == (delimiter, ("a", "b", "c"), 9)


def test_records_come_as_they_stand(tmp_path):
    text = '\ufeffa;b\r\n1;"x;\r\ny"\r\n\r\n2;z'
    found = csv_file(put(tmp_path, text))
    assert found.header() == "a;b\r\n"
    assert [(record.fields, record.text.strip()) for record in found.records()] == [
        (["1", "x;\r\ny"], '1;"x;\r\ny"'),
        (["2", "z"], "2;z"),
    ]


FIELDS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=6)


@given(st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=8), st.sampled_from([",", ";", "\t", "|"]))
def test_what_is_written_is_read(tmp_path_factory, rows, delimiter):
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([("first", "second"), *rows])
    found = csv_file(put(tmp_path_factory.mktemp("t"), out.getvalue()))
    assert [tuple(record.fields) for record in found.records()] == rows
    assert found.header() + "".join(record.text for record in found.records()) == out.getvalue()
