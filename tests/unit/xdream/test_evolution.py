"""The loop of ask, show and tell: budgets, missing scores, the true best, and states that go on exactly."""

import numpy as np
import pytest
import torch

from v4egg.errors import V4eggError
from v4egg.io.checkpoints import Checkpoint
from v4egg.xdream.evolution import Evolution, PoissonSpikes, evolve, read_state
from v4egg.xdream.optimizers import OPTIMIZERS, make_optimizer

KEYS = [("seed", r) for r in range(3)]
TARGETS = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))


def new(name="genetic", budget=200, repeats=1, keys=KEYS, **options):
    if name.startswith("cma"):
        pytest.importorskip("cma")
    return Evolution(make_optimizer(name, keys, 6, **options), budget, repeats)


def images_of(codes):
    return codes.view(-1, 1, 2, 3)


def neurons(images, run):
    return 5 - (images.flatten(1) - TARGETS[run]).square().sum(1)


def flaky(share, seed=0):
    """Scores that go missing at random, by what is shown."""
    draws = np.random.default_rng(seed)
    return lambda scores: np.where(draws.random(scores.shape) < share, np.nan, scores)


def run(evolution, lose=lambda scores: scores, rounds=None):
    """Tell by hand; returns all (run, slot, code, score) ever shown."""
    seen = []
    while (show := evolution.ask()) is not None and rounds != 0:
        scores = neurons(images_of(torch.from_numpy(show.codes)), show.run).double().numpy()
        told = lose(scores)
        seen += list(zip(show.run, show.slot, show.codes, told, strict=True))
        evolution.tell(told)
        rounds = None if rounds is None else rounds - 1
    return seen


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_the_budget_is_kept_and_the_best_score_is_the_true_maximum_ever_shown(name):
    evolution = new(name, budget=205)
    seen = run(evolution, flaky(0.1))
    assert (evolution.presentations <= 205).all()
    assert (evolution.presentations > 160).all()
    for r in range(3):
        mine = [(code, score) for which, _, code, score in seen if which == r]
        assert len(mine) == evolution.presentations[r]
        code, score = max((m for m in mine if not np.isnan(m[1])), key=lambda m: m[1])
        assert evolution.best_score[r] == score
        assert np.array_equal(evolution.best_code[r], code)
    history = evolution.history
    assert np.array_equal(history["best"][-1], evolution.best_score)
    assert (np.diff(history["best"], axis=0) >= 0).all()
    assert not (history["top"] > history["best"]).any()


def test_it_beats_random_codes():
    best, random = (new(name, budget=2000) for name in ("genetic", "random_search"))
    run(best)
    run(random)
    assert (5 - best.best_score < (5 - random.best_score) / 3).all()  # the top of every hill is 5


@pytest.mark.parametrize("name", ["genetic", "natural_evolution", "cma_diagonal"])
def test_missing_scores_are_shown_again(name):
    evolution = new(name, population=8)
    first = evolution.ask()
    scores = np.arange(24.0)
    scores[[2, 9, 10]] = np.nan
    missing = first.codes[[2, 9, 10]]
    evolution.tell(scores)
    shown = evolution.ask()
    for code, owner in zip(missing, (0, 1, 1), strict=True):
        assert (shown.codes[shown.run == owner] == code).all(1).any()
    if name != "genetic":  # they wait until their generation is whole; the third run goes on
        assert np.array_equal(shown.run, [0, 1, 1, *[2] * 8])
        assert list(evolution.optimizer.generation) == [0, 0, 1]
        evolution.tell(np.ones(11))
        assert list(evolution.optimizer.generation) == [1, 1, 2]
    assert evolution.presentations[0] == (8 if name == "genetic" else 9)


def test_a_generation_without_any_score_is_shown_again_and_counts():
    evolution = new(budget=60)
    first = evolution.ask().codes
    for _ in range(3):
        assert np.array_equal(evolution.ask().codes, first)
        evolution.tell(np.full(60, np.nan))
    assert evolution.ask() is None
    assert np.isnan(evolution.best_score).all()
    assert (evolution.presentations == 60).all()


def test_repeats_are_averaged_and_count():
    evolution = new(budget=130, repeats=3, population=20)
    scores = np.tile([1.0, 2.0, np.nan], (60, 1))
    scores[5] = np.nan
    scores[7, 0] = 4.0
    evolution.tell(scores)
    assert evolution.best_score[0] == 3.0
    assert list(evolution.presentations) == [60] * 3
    assert evolution.ask() is not None
    evolution.tell(np.ones((60, 3)))
    assert evolution.ask() is None  # 10 presentations are left, and a generation takes 60


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_a_killed_evolution_goes_on_exactly(name, tmp_path):
    whole = new(name)
    run(whole, flaky(0.1))
    first = new(name)
    lose = flaky(0.1)
    run(first, lose, rounds=2)
    first.save(tmp_path / "state.npz", note="killed")
    again = new(name)
    assert again.load(tmp_path / "state.npz") == {"note": "killed"}
    run(again, lose)
    mine, theirs = again.state(), whole.state()
    assert all(np.array_equal(mine[key], theirs[key], equal_nan=True) for key in theirs)


def test_evolve_resumes_from_its_checkpoint_to_the_same_end(tmp_path):
    noise = PoissonSpikes(KEYS, 4.0, repeats=2)
    whole = evolve(new(repeats=2), images_of, neurons, noise=noise)
    checkpoint, calls = Checkpoint(tmp_path, {}), []

    def dying(images, owner):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return neurons(images, owner)

    with pytest.raises(KeyboardInterrupt):
        evolve(new(repeats=2), images_of, dying, noise=noise, checkpoint=checkpoint, save_every=2)
    again = evolve(new(repeats=2), images_of, neurons, noise=noise, checkpoint=checkpoint, batch=7)
    assert np.array_equal(again.best_code, whole.best_code)
    assert np.array_equal(again.history["mean"], whole.history["mean"])
    assert np.array_equal(again.best_noiseless, whole.best_noiseless)


def test_no_run_depends_on_its_neighbours_or_on_the_batch():
    noise = PoissonSpikes(KEYS, 4.0)
    together = evolve(new(), images_of, neurons, noise=noise, batch=11)
    alone = new(keys=KEYS[2:])
    evolve(alone, images_of, lambda images, run: neurons(images, run + 2), noise=PoissonSpikes(KEYS[2:], 4.0))
    assert np.array_equal(together.best_code[2], alone.best_code[0])
    assert np.array_equal(together.history["mean"][:, 2], alone.history["mean"][:, 0])


def test_spikes_have_the_mean_and_the_variance_of_poisson_and_never_fall_below_zero():
    evolution = new(keys=[("k",)], population=20_000, budget=20_000)
    show, noise = evolution.ask(), PoissonSpikes([("k",)], 5.0)
    counts = noise(np.full(20_000, 3.0), show)[:, 0]
    assert counts.mean() == pytest.approx(3.0, abs=0.02)
    assert counts.var() == pytest.approx(3.0 / 5, rel=0.05)
    assert (noise(np.full(20_000, -2.0), show) == 0).all()
    assert np.array_equal(noise(np.full(20_000, 3.0), show)[:, 0], counts)
    lifted = PoissonSpikes([("k",)], 5.0, offset=4.0)(np.full(20_000, -1.0), show)[:, 0]
    assert lifted.mean() == pytest.approx(-1.0, abs=0.02)  # in the unit of responses, though these are below 0
    assert lifted.var() == pytest.approx(3.0 / 5, rel=0.05)
    with pytest.raises(V4eggError, match="scale is 0"):
        PoissonSpikes([("k",)], 0)


def test_mistakes_are_one_line(tmp_path):
    with pytest.raises(V4eggError, match="budget is 19 presentations, smaller than a generation of 20 images x 1"):
        new(budget=19)
    with pytest.raises(V4eggError, match="give 40 or more"):
        new(budget=39, repeats=2)
    evolution = new(budget=20)
    with pytest.raises(V4eggError, match=r"scores of shape \(3,\) for 60 images"):
        evolution.tell(np.ones(3))
    with pytest.raises(V4eggError, match="a score is infinite"):
        evolution.tell(np.full(60, np.inf))
    evolution.tell(np.ones(60))
    with pytest.raises(V4eggError, match="the budget is spent"):
        evolution.tell(np.ones(60))
    with pytest.raises(V4eggError, match="that of other runs or of another optimizer"):
        evolution.restore(new("natural_evolution").state())
    with pytest.raises(V4eggError, match="that of other runs"):
        evolution.restore(new(keys=KEYS[:2]).state())
    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    with pytest.raises(V4eggError, match=r"broken\.npz: no readable state of an evolution"):
        read_state(tmp_path / "broken.npz")
