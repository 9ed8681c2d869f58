"""The folder between this program and a laboratory: images out, scores in, nothing wrong let through."""

import csv
import os

import numpy as np
import pytest
import torch
from PIL import Image

from v4egg.errors import V4eggError
from v4egg.xdream.evolution import Evolution
from v4egg.xdream.exchange import Exchange
from v4egg.xdream.optimizers import make_optimizer

KEYS = [("monkey", "u000"), ("monkey", "u001")]


def images_of(codes):
    return codes.sigmoid().view(-1, 1, 2, 2).expand(-1, 3, 2, 2)


def new(folder, budget=24, repeats=1, keys=KEYS, **options):
    optimizer = make_optimizer("genetic", keys, 4, population=6, **options)
    return Exchange(folder, Evolution(optimizer, budget, repeats), images_of, size=8, settle=0)


def shown(exchange):
    with (exchange.current / "images.csv").open() as file:
        return list(csv.DictReader(file))


def laboratory(exchange, change=lambda rows: rows, repeats=1):
    """Show every image to a neuron that likes it bright, and write down what it says."""
    rows = []
    for row in shown(exchange):
        pixels = np.asarray(Image.open(exchange.current / row["file"]))
        rows += [(row["id"], str(pixels.mean()))] * repeats
    write(exchange, change(rows))


def write(exchange, rows, header=("id", "score")):
    with (exchange.current / "scores.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    (exchange.current / "scores.done").touch()


def rows_of(exchange, repeats=1):
    """A row for each presentation: the scores of image i are 100 + i."""
    return [(row["id"], 100 + i) for i, row in enumerate(shown(exchange)) for _ in range(repeats)]


def put(exchange, text, done=False, encoding="utf-8"):
    """Write the file as it is, without the mark unless it is asked for."""
    (exchange.current / "scores.csv").write_bytes(text.encode(encoding))
    if done:
        (exchange.current / "scores.done").touch()


def table(rows, separator=",", end="\n", header="id,score"):
    lines = [header.replace(",", separator), *(separator.join(map(str, row)) for row in rows)]
    return "".join(line + end for line in lines)


def told(exchange):
    """The scores that the evolution was told, by neuron and slot, taken from its history of means."""
    return exchange.evolution.history["mean"][-1].tolist()


def test_images_go_out_and_scores_come_back_until_the_budget_is_spent(tmp_path):
    exchange = new(tmp_path)
    assert len(shown(exchange)) == 12
    assert {row["neuron"] for row in shown(exchange)} == {"monkey-u000", "monkey-u001"}
    assert Image.open(exchange.current / shown(exchange)[0]["file"]).size == (8, 8)
    assert not exchange.advance()  # no scores are there yet
    best = []
    while not exchange.finished:
        laboratory(exchange, lambda rows: rows[::-1])
        assert exchange.advance()
        best.append(exchange.evolution.best_score.copy())
    assert len(best) == 4
    assert (best[-1] > best[0]).any()
    assert not exchange.advance()
    codes = torch.from_numpy(exchange.evolution.best_code)
    assert np.allclose(exchange.evolution.best_score, 255 * images_of(codes).mean((1, 2, 3)), atol=0.6)


def test_a_restarted_program_goes_on_as_if_it_had_not_been_away(tmp_path):
    whole, again = new(tmp_path / "a"), new(tmp_path / "b")
    for _ in range(4):
        laboratory(whole)
        whole.advance()
        again = new(tmp_path / "b")
        laboratory(again)
        again.advance()
    assert np.array_equal(whole.evolution.best_code, again.evolution.best_code)
    assert again.finished


def test_lost_presentations_are_shown_again(tmp_path):
    exchange = new(tmp_path)
    first = {row["id"]: row["file"] for row in shown(exchange)}
    lost = sorted(first)[2:4]
    pictures = [(exchange.current / first[name]).read_bytes() for name in lost]
    laboratory(exchange, lambda rows: [(i, "" if i in lost else score) for i, score in rows])
    exchange.advance()
    again = {(exchange.current / row["file"]).read_bytes() for row in shown(exchange)}
    assert set(pictures) <= again


@pytest.mark.parametrize("cut", [0, 3, 8, 9, 14, 40, -4, -3, -2, -1])
def test_a_file_that_is_still_written_waits_and_the_whole_one_is_read(tmp_path, cut):
    """110 cut to 1 is no score, and rows that are not there yet are not lost."""
    exchange = new(tmp_path)
    whole = table([(name, 110) for name, _ in rows_of(exchange)])
    for _ in range(3):
        put(exchange, whole[:cut] if cut else "")
        assert not exchange.advance()
        assert str(exchange.current / "scores.csv") in exchange.status
    assert exchange.round == 1
    assert exchange.evolution.presentations.tolist() == [0, 0]
    put(exchange, whole)
    assert not exchange.advance()  # it has just changed
    assert exchange.advance()
    assert told(exchange) == [110, 110]


def test_scores_must_not_have_changed_for_a_while(tmp_path, monkeypatch):
    exchange, now = new(tmp_path), [0.0]
    exchange.settle = 5
    monkeypatch.setattr("v4egg.xdream.exchange.time.monotonic", lambda: now[0])
    put(exchange, table(rows_of(exchange)))
    for now[0], expected in ((0, False), (4.9, False), (5, True)):
        assert exchange.advance() == expected


def test_a_mark_makes_what_is_there_whole(tmp_path):
    exchange = new(tmp_path, budget=36, repeats=3)
    put(exchange, table(rows_of(exchange)))
    assert not exchange.advance()
    assert not exchange.advance()
    assert "fewer than 3 rows for r0001-n000-i000, r0001-n000-i001, r0001-n000-i002 and 9 more" in exchange.status
    (exchange.current / "scores.done").touch()
    assert exchange.advance()
    assert exchange.evolution.presentations.tolist() == [18, 18]
    assert told(exchange) == [102.5, 108.5]


def test_a_mark_of_an_earlier_version_is_none(tmp_path):
    exchange = new(tmp_path)
    put(exchange, table(rows_of(exchange)[:-2]), done=True)
    with pytest.raises(V4eggError, match=r"no row for r0001-n001-i004, r0001-n001-i005; add it, with an empty score"):
        exchange.advance()
    put(exchange, table(rows_of(exchange)[:-1]))
    os.utime(exchange.current / "scores.done", ns=(1, 1))
    assert not exchange.advance()
    assert not exchange.advance()
    assert "r0001-n001-i005" in exchange.status
    put(exchange, table(rows_of(exchange)), done=True)
    assert exchange.advance()


def test_a_header_alone_spends_no_round_even_with_a_mark(tmp_path):
    exchange = new(tmp_path)
    for text in ("", "\n", "id,score", "id,score\n", "id;score\r\n"):
        put(exchange, text, done=True)
        assert not exchange.advance()
        assert not exchange.advance()
    assert exchange.round == 1


@pytest.mark.parametrize(
    ("separator", "end", "encoding", "header"),
    [
        (",", "\n", "utf-8-sig", "id,score"),
        (";", "\r\n", "utf-8-sig", "ID,Score"),
        ("\t", "\r\n", "utf-16", "id,score"),
        (",", "\r", "utf-8", " id, score"),
    ],
)
@pytest.mark.parametrize("done", [False, True])
def test_tables_of_every_program_are_understood(tmp_path, separator, end, encoding, header, done):
    exchange = new(tmp_path)
    mark = "," if separator != "," else "."
    rows = [(name, f"{score}{mark}5") for name, score in rows_of(exchange)]
    put(exchange, table(rows, separator, end, header) + separator + end, done=done, encoding=encoding)
    assert exchange.advance() or exchange.advance()
    assert told(exchange) == [103.0, 109.0]


def test_presentations_are_averaged_and_more_than_were_asked_for_count(tmp_path):
    exchange = new(tmp_path, budget=60, repeats=2)
    rows = [row for name, score in rows_of(exchange) for row in ((name, score - 1), (name, score + 1))]
    first = rows[0][0]
    put(exchange, table([*rows, (first, 103)]), done=True)  # shown three times: 99, 101 and 103
    assert exchange.advance()
    assert exchange.evolution.presentations.tolist() == [13, 12]
    assert np.allclose(told(exchange), [(101 + 101 + 102 + 103 + 104 + 105) / 6, 108.5])


def test_repeats_are_rows(tmp_path):
    exchange = new(tmp_path, budget=36, repeats=3)
    laboratory(exchange, repeats=3)
    exchange.advance()
    assert list(exchange.evolution.presentations) == [18, 18]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [*rows, ("r0009-n000-i000", "1")], r"scores\.csv:14: unknown id 'r0009-n000-i000'"),
        (lambda rows: [(rows[0][0], "lively"), *rows[1:]], r"scores\.csv:2: score is 'lively', not a finite number"),
        (lambda rows: [(rows[0][0], "inf"), *rows[1:]], r"scores\.csv:2: score is 'inf', not .*; leave it empty"),
        (lambda rows: [(rows[0][0], "1_000"), *rows[1:]], r"scores\.csv:2: score is '1_000', not a finite number"),
        (lambda rows: [(rows[0][0], "3", "5"), *rows[1:]], r"scores\.csv:2: 3 fields, and the header has 2; .*semicol"),
        (lambda rows: [*rows[:-1], (rows[-1][0],)], r"scores\.csv:13: 1 fields, and the header has 2"),
        (lambda rows: rows[1:], r"scores\.csv: no row for r0001-n000-i000; add it"),
    ],
)
def test_bad_scores_are_one_line_and_change_nothing(tmp_path, change, message):
    exchange = new(tmp_path)
    before = exchange.evolution.state()
    laboratory(exchange, change)
    with pytest.raises(V4eggError, match=message) as error:
        exchange.advance()
    assert "\n" not in str(error.value)
    after = exchange.evolution.state()
    assert all(np.array_equal(before[name], after[name], equal_nan=True) for name in before)
    laboratory(exchange)  # corrected
    assert exchange.advance()


def test_two_decimal_marks_in_one_file_are_refused(tmp_path):
    exchange = new(tmp_path)
    rows = rows_of(exchange)
    put(exchange, table([(rows[0][0], "1.234"), (rows[1][0], "5,5"), *rows[2:]], ";"), done=True)
    with pytest.raises(V4eggError, match=r"scores\.csv:3: score is '5,5', and others have '\.' as the decimal mark"):
        exchange.advance()


def test_what_is_no_table_and_whose_folder_it_is(tmp_path):
    exchange = new(tmp_path)
    write(exchange, [("a", 1)], header=("image", "spikes"))
    with pytest.raises(V4eggError, match=r"columns are image, spikes; give id and score, each once"):
        exchange.advance()
    write(exchange, [("a", 1, 2)], header=("id", "score", "score"))
    with pytest.raises(V4eggError, match=r"columns are id, score, score; give id and score, each once"):
        exchange.advance()
    (exchange.current / "scores.csv").write_bytes(b"id,score\n\xff,1\n")
    (exchange.current / "scores.done").touch()
    with pytest.raises(V4eggError, match=r"no readable table"):
        exchange.advance()
    with pytest.raises(V4eggError, match="that of other neurons"):
        new(tmp_path, keys=[("monkey", "u000"), ("monkey", "u009")])
    with pytest.raises(V4eggError, match="budget is 5 presentations, smaller than a generation"):
        new(tmp_path / "c", budget=5)
