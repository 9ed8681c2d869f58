"""The folder between this program and a laboratory: images out, scores in, nothing wrong let through."""

import csv

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
    return Exchange(folder, Evolution(optimizer, budget, repeats), images_of, size=8)


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


def test_missing_scores_are_shown_again(tmp_path):
    exchange = new(tmp_path)
    first = {row["id"]: row["file"] for row in shown(exchange)}
    lost, left_out = sorted(first)[2:4]
    pictures = {name: (exchange.current / first[name]).read_bytes() for name in (lost, left_out)}
    laboratory(exchange, lambda rows: [(i, "" if i == lost else score) for i, score in rows if i != left_out])
    exchange.advance()
    again = {(exchange.current / row["file"]).read_bytes() for row in shown(exchange)}
    assert set(pictures.values()) <= again


def test_repeats_are_rows(tmp_path):
    exchange = new(tmp_path, budget=36, repeats=3)
    laboratory(exchange, repeats=3)
    exchange.advance()
    assert list(exchange.evolution.presentations) == [18, 18]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [*rows, ("r0009-n000-i000", "1")], r"scores\.csv:14: unknown id 'r0009-n000-i000'"),
        (lambda rows: [*rows, rows[3]], r"scores\.csv:14: id 'r0001-n000-i003' has more than 1 rows"),
        (lambda rows: [(rows[0][0], "lively"), *rows[1:]], r"scores\.csv:2: score is 'lively', not a number"),
        (lambda rows: [(rows[0][0], "inf"), *rows[1:]], r"scores\.csv:2: score is inf; leave it empty"),
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


def test_what_is_no_table_and_whose_folder_it_is(tmp_path):
    exchange = new(tmp_path)
    write(exchange, [], header=("image", "spikes"))
    with pytest.raises(V4eggError, match=r"columns are \['image', 'spikes'\]; give id and score"):
        exchange.advance()
    (exchange.current / "scores.csv").write_bytes(b"\xff\xfe\x00id")
    with pytest.raises(V4eggError, match=r"no readable table"):
        exchange.advance()
    with pytest.raises(V4eggError, match="that of other neurons"):
        new(tmp_path, keys=[("monkey", "u000"), ("monkey", "u009")])
    with pytest.raises(V4eggError, match="budget is 5 presentations, smaller than a generation"):
        new(tmp_path / "c", budget=5)
