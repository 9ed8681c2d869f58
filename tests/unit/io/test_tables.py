"""Tables in the ways in which programs and people write them."""

import base64
import zlib

import fastparquet
import numpy as np
import pandas as pd
import pytest

from v4egg.errors import V4eggError
from v4egg.io.tables import column_of, numbers, read_table, texts, typed

# unit: u1 u0 u1, time: 0.5 1.25 2.0, as pyarrow writes it
PYARROW = (
    "c-obc!EVz)5Qb;B?h+y&(u!H_3LkQ4tsuF@MoNTGQ94f33XwvaOT;lsqY#O<A&tokaOBA2Ayjch9C-j{?K%O$g^|58J2U(JUhke!"
    "KS2)-20eDL4d6!-0J0<>V+7nr9ihS+zba@!LuQGQS-iEy4fpG=O$o6fd3lUckGmYj0Bj2Hw!L|;0YBSN*dfy%pjp#QrL2_EZCgX*"
    "AK6^3x>KmhjU7PG9yGzIo6+0x<q$nUe^(kWyP7U`p%-u;R$XE-y&Qv9Hn33$0s6KHs%DEulv?SJLVptBVOaTdZ#HuO110cKV|So^"
    "t8560$qrO4K~5kCeHHwKUqtv>{NKj@l6q7M>2C}UEBd<x8yKJZ{nvwM#g5Gn@z_~wLTu+$*h``%r4u?PnouV%QJNB+x}Zb!B2TP6"
    "6=AxbzdB;*Qx3XE-8{K;W0zLuq|$geNZxU9;&fQ=<gVCpkmDTs#w|U)TU>r$n)Y))TI<t_e=%szE>`pN-|Nr8)Mvx_`)s_}8_i~W"
    "!}<JrS^qGe-%PKs>Q7qx@qS_>K6Q8S5BZjy@xA^9dW3*x"
)


def written(folder, content, name="table.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(content.encode(encoding))
    return path


def refusal(call, *arguments, **options):
    with pytest.raises(V4eggError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_same_table_however_it_is_written(tmp_path, separator, encoding, end):
    rows = [("stimulus", "onset"), ('"a, b; c"', "0.5"), ("007", "1"), ("", "")]
    path = written(tmp_path, end.join(separator.join(row) for row in rows) + end, encoding=encoding)
    table = read_table(path)
    assert table.to_dict("list") == {"stimulus": ["a, b; c", "007", ""], "onset": ["0.5", "1", ""]}
    np.testing.assert_array_equal(numbers(table["onset"], path), [0.5, 1, np.nan])


def test_decimal_commas(tmp_path):
    path = written(tmp_path, "unit;time\nu1;0,5\nu1;12\nu2;1,25\n")
    assert numbers(read_table(path)["time"], path).tolist() == [0.5, 12, 1.25]
    long = read_table(path, long="time")
    assert numbers(long["time"], path).tolist() == [0.5, 12, 1.25]
    assert texts(long["unit"]) == ["u1", "u1", "u2"]
    for wrong in ("1.5", "1,234,567", "1.234,5"):
        assert "use one decimal mark" in refusal(numbers, pd.Series(["0,5", wrong], name="time"), path)


def test_a_decimal_comma_between_commas_is_no_separator(tmp_path):
    path = written(tmp_path, "unit,time\nu1,0,5\n")
    assert refusal(read_table, path).startswith(f"{path}: line 2 has 3 fields, and the header 2; correct it")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1\n", "line 2 has 1 fields, and the header 2"),
        ("a,b\n1,2\n1,2,\n", "line 3 has 3 fields, and the header 2"),
        ("a,b,a\n1,2,3\n", "several columns a"),
        ("a,,b\n1,2,3\n", "column 2 has no name"),
        (",a\n0,1\n2,2\n", "column 1 has no name"),
        ("\na\n", "the first line is empty"),
        ('a\n"1\n', "not a readable CSV file"),
    ],
)
def test_tables_that_cannot_be_read_without_doubt(tmp_path, content, message):
    assert message in refusal(read_table, written(tmp_path, content))


def test_text_that_is_not_utf_8(tmp_path):
    path = written(tmp_path, "stimulus\nGebäude\n", encoding="latin-1")
    assert "save it as CSV in UTF-8" in refusal(read_table, path)


def test_an_index_of_pandas_is_no_column(tmp_path):
    pd.DataFrame({"a": [3, 4]}).to_csv(tmp_path / "table.csv")
    assert read_table(tmp_path / "table.csv").to_dict("list") == {"a": ["3", "4"]}


def test_parquet_of_pyarrow_and_of_fastparquet(tmp_path):
    expected = {"unit": ["u1", "u0", "u1"], "time": [0.5, 1.25, 2.0]}
    (tmp_path / "one.parquet").write_bytes(zlib.decompress(base64.b85decode("".join(PYARROW))))
    fastparquet.write(str(tmp_path / "other.parquet"), pd.DataFrame(expected), compression="ZSTD")
    for name in ("one.parquet", "other.parquet"):
        assert read_table(tmp_path / name).to_dict("list") == expected
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "one.parquet").read_bytes()[:300])
    assert "not a readable Parquet file" in refusal(read_table, tmp_path / "cut.parquet")


def test_numbers_that_are_none(tmp_path):
    path = tmp_path / "table.csv"
    assert numbers(pd.Series(["1", "NA", "n/a", "NaN", "none"], name="x"), path)[1:].tolist() == pytest.approx(
        [np.nan] * 4, nan_ok=True
    )
    told = refusal(numbers, pd.Series(["1", "inf", "x"], name="onset"), path)
    assert told.startswith(f"{path}: onset is 'inf' in row 2 (2 such rows), not a finite number")


def test_columns_by_name(tmp_path):
    table = pd.DataFrame({"a": ["1"], "b": ["2"]})
    assert column_of(table, "b", "t.csv", "columns.start").tolist() == ["2"]
    assert refusal(column_of, table, "c", "t.csv", "columns.start") == (
        "t.csv: no column c; columns are a, b; set columns.start"
    )


def test_types_of_cells():
    assert typed(pd.Series(["1", "2.5"])) == [1, 2.5]
    assert typed(pd.Series(["1", "", "-1"])) == pytest.approx([1, np.nan, -1], nan_ok=True)
    assert typed(pd.Series(["", ""])) == ["", ""]
    assert typed(pd.Series(["1e5", "2e5"])) == ["1e5", "2e5"]
    assert typed(pd.Series(["1e-05", "-0.5"])) == [1e-05, -0.5]
    assert typed(pd.Series(["12345678901234567890", "1"])) == [12345678901234567890, 1]
    assert typed(pd.Series(["1", "x", ""])) == ["1", "x", ""]
    assert typed(pd.Series([True, False])) == [True, False]
    assert all(type(value) is int for value in typed(pd.Series([1, 2], dtype="int16")))
    assert texts(pd.Series([b"a", None, 2.0, 2.5, pd.NA], dtype=object)) == ["a", None, "2", "2.5", None]


def test_there_is_no_such_table(tmp_path):
    assert "there is no such table" in refusal(read_table, tmp_path / "a.csv")
    assert "convert it to CSV" in refusal(read_table, written(tmp_path, "", "a.xlsx"))
