"""Optimizers: operators do statistically what they say, draws depend on the run alone, and all of them climb."""

import numpy as np
import pytest

from v4egg.errors import V4eggError
from v4egg.xdream.optimizers import OPTIMIZERS, make_optimizer, settings_of
from v4egg.xdream.optimizers.covariance import unit
from v4egg.xdream.optimizers.genetic import SETTINGS

EVERY = {*OPTIMIZERS} - {"random_search"}


def make(name, runs=2, size=8, **options):
    if name.startswith("cma"):
        pytest.importorskip("cma")
    return make_optimizer(name, [("run", r) for r in range(runs)], size, **options)


def peak(codes):
    """One hill at 1, 1, ..., 1; 0 at its top."""
    return -np.square(codes - 1).mean(-1)


def climb(optimizer, generations, score=peak):
    every = np.arange(len(optimizer.keys))
    for _ in range(generations):
        optimizer.step(score(optimizer.codes).astype(float), every)
    return optimizer


def test_published_settings():
    assert make("genetic").codes.shape == (2, 20, 8)
    assert SETTINGS["fc6"] == {
        "population": 20,
        "mutation_rate": 0.5,
        "mutation_size": 0.5,
        "selectivity": 2.0,
        "heritability": 0.5,
        "n_conserve": 0,
    }
    assert make("genetic", settings="pool5").options.heritability == 0.75
    assert make("genetic", settings="fc7", population=12).codes.shape == (2, 12, 8)


def test_settings_are_defaults_then_a_published_row_then_one_s_own():
    assert settings_of("genetic", {"settings": "fc7", "mutation_rate": 0.1}) == {
        **SETTINGS["fc7"],
        "mutation_rate": 0.1,
        "initial_sd": 1.0,
    }
    assert settings_of("finite_differences", {}) == {"population": 20, "radius": 1.25, "learning_rate": 1.25}
    with pytest.raises(V4eggError, match="option 'settings' is 'fc9': input should be 'fc6'"):
        settings_of("genetic", {"settings": "fc9"})


def test_elites_are_identical_and_nothing_else_is():
    optimizer = make("genetic", runs=3, size=50, n_conserve=4)
    before, scores = optimizer.codes.copy(), np.random.default_rng(0).random((3, 20))
    optimizer.step(scores, np.arange(3))
    for run in range(3):
        best = np.argsort(-scores[run])[:4]
        assert np.array_equal(optimizer.codes[run, :4], before[run, best])
        assert not (optimizer.codes[run, 4:, None] == before[run]).all(-1).any()


def test_the_mutated_share_and_its_size():
    optimizer = make("genetic", size=20_000, mutation_rate=0.3, mutation_size=0.7, initial=np.zeros((20, 20_000)))
    optimizer.step(np.ones((2, 20)), np.arange(2))
    changed = optimizer.codes[optimizer.codes != 0]
    assert changed.size / optimizer.codes.size == pytest.approx(0.3, abs=0.003)
    assert changed.std() == pytest.approx(0.7, abs=0.005)
    assert abs(changed.mean()) < 0.005


@pytest.mark.parametrize("heritability", [0.5, 0.75])
def test_the_parental_share(heritability):
    size = 10_000
    initial = np.repeat(np.arange(20.0)[:, None], size, 1)  # a gene says whose it is
    optimizer = make("genetic", runs=1, size=size, mutation_rate=0.0, heritability=heritability, initial=initial)
    optimizer.step(np.zeros((1, 20)), np.array([0]))
    shares = []
    for child in optimizer.codes[0]:
        parents, counts = np.unique(child, return_counts=True)
        assert len(parents) <= 2
        if len(parents) == 2:
            shares.append(counts.max() / size)
    assert len(shares) > 10
    assert np.allclose(shares, heritability, atol=0.02)


def test_selection_pressure_is_monotone_in_score_and_in_selectivity():
    scores = np.linspace(0, 1, 20)[None]
    gentle, choosy = (make("genetic", selectivity=s).fitness(scores)[0] for s in (0.5, 4.0))
    for fitness in (gentle, choosy):
        assert (np.diff(fitness) >= 0).all()
        assert fitness[-1] == 1
        assert fitness[-2] == pytest.approx(1, abs=0.1)  # clipped at the 95th percentile
    assert (choosy[:-1] <= gentle[:-1]).all()
    expected = np.exp((scores[0, 0] - np.percentile(scores, 95)) / (scores.std() / 4.0))
    assert choosy[0] == pytest.approx(expected)


def test_parents_are_drawn_in_proportion_to_fitness():
    runs, initial = 600, np.arange(20.0)[:, None]
    optimizer = make("genetic", runs=runs, size=1, mutation_rate=0.0, initial=initial)
    scores = np.tile(np.linspace(0, 1, 20), (runs, 1))
    fitness = optimizer.fitness(scores[:1])[0]
    optimizer.step(scores, np.arange(runs))
    drawn = np.bincount(optimizer.codes.astype(int).ravel(), minlength=20) / (runs * 20)
    assert np.allclose(drawn, fitness / fitness.sum(), atol=0.01)


def test_equal_scores_and_scores_of_any_size_are_no_trouble():
    optimizer = make("genetic")
    assert (optimizer.fitness(np.full((1, 20), 3.0)) == 1).all()
    assert np.isfinite(optimizer.fitness(np.array([[1e30, *[-1e30] * 19]]))).all()


def test_missing_images_are_carried_over_unchanged_and_are_no_parents():
    optimizer = make("genetic", runs=2, size=30, mutation_rate=0.0)
    before, scores = optimizer.codes.copy(), np.ones((2, 20))
    scores[0, [3, 11]] = np.nan
    scores[1, 1:] = np.nan
    optimizer.step(scores, np.arange(2))
    assert np.array_equal(optimizer.codes[0, -2:], before[0, [3, 11]])
    assert not np.isin(optimizer.codes[0, :-2], before[0, [3, 11]]).any()
    assert np.array_equal(optimizer.codes[1, 1:], before[1, 1:])
    assert np.array_equal(optimizer.codes[1, 0], before[1, 0])  # the only parent there is


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_a_run_does_not_depend_on_its_neighbours(name):
    together = climb(make(name, runs=3), 5)
    alone = climb(make_optimizer(name, [("run", 2)], 8), 5)
    assert np.array_equal(together.codes[2], alone.codes[0])
    assert not np.allclose(together.codes[1], together.codes[2])


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_same_seed_same_trajectory_and_a_state_goes_on_exactly(name):
    whole = climb(make(name), 9)
    first = climb(make(name), 4)
    again = make(name)
    again.restore(first.state())
    assert np.array_equal(again.codes, first.codes)
    climb(again, 5)
    assert np.array_equal(again.codes, whole.codes)
    assert np.array_equal(again.generation, whole.generation)


@pytest.mark.parametrize("name", sorted(EVERY))
def test_every_optimizer_climbs_and_beats_codes_at_random(name):
    options = {"norm": 8**0.5} if name == "sphere_cma" else {}
    if name in ("finite_differences", "natural_evolution"):
        options = {"radius": 0.3, "learning_rate": 1.0}
    best = peak(climb(make(name, runs=4, **options), 60).codes).max(1)
    random = make("random_search", runs=4, population=1200)
    assert (best > peak(random.codes).max(1)).all()
    assert (best > -0.15).all()


def test_runs_that_are_not_ready_stay():
    optimizer = make("natural_evolution", runs=3)
    before = optimizer.codes.copy()
    optimizer.step(np.random.default_rng(0).random((3, 20)), np.array([1]))
    assert np.array_equal(optimizer.codes[[0, 2]], before[[0, 2]])
    assert not np.array_equal(optimizer.codes[1], before[1])
    assert list(optimizer.generation) == [0, 1, 0]


def test_finite_differences_come_in_antithetic_pairs_and_find_the_gradient():
    optimizer = make("finite_differences", runs=1, size=5, population=2000)
    assert np.allclose(optimizer.codes[0, :1000], -optimizer.codes[0, 1000:])
    slope = np.array([1.0, -2.0, 0.0, 3.0, 0.5])
    optimizer.step(optimizer.codes @ slope, np.array([0]))
    moved = optimizer.center[0]
    assert moved @ slope / np.linalg.norm(moved) / np.linalg.norm(slope) > 0.99
    assert np.linalg.norm(moved) == pytest.approx(1.25 * 1.25, rel=0.05)  # rate x radius x unit gradient


def test_natural_evolution_narrows_where_the_middle_is_best():
    optimizer = make("natural_evolution", runs=1, size=2, radius_rate=0.5)
    climb(optimizer, 30, lambda codes: -np.square(codes).sum(-1))
    assert optimizer.radius[0] < 0.8 * 1.25


def test_the_sphere_keeps_its_norm_and_its_angles_fall_as_published():
    optimizer = make("sphere_cma", size=64, norm=300)
    assert np.allclose(np.linalg.norm(optimizer.codes, axis=-1), 300, rtol=1e-5)
    climb(optimizer, 3)
    assert np.allclose(np.linalg.norm(optimizer.codes, axis=-1), 300, rtol=1e-4)
    cosine = np.einsum("rpd,rd->rp", unit(optimizer.codes), optimizer.center)
    assert np.allclose(np.arccos(cosine), optimizer.angle(3), atol=1e-3)
    degrees = np.rad2deg(optimizer.angle(np.arange(1, 120)))
    assert degrees[0] == pytest.approx(50)
    assert np.allclose(degrees[74:], 7.33)
    ratios = degrees[1:75] / degrees[:74]
    assert np.allclose(ratios, ratios[0])


def test_the_library_of_cma_leaves_numpy_s_own_generator_alone():
    np.random.seed(1)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    climb(make("cma_diagonal"), 3)
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_bad_options_are_one_line():
    with pytest.raises(V4eggError, match="optimizer 'annealing' is unknown; known: genetic, "):
        make("annealing")
    with pytest.raises(V4eggError, match="option 'settings' is 'fc9': input should be 'fc6', 'fc7'"):
        make("genetic", settings="fc9")
    with pytest.raises(V4eggError, match=r"option 'temperature' is unknown; known: population, settings, "):
        make("genetic", temperature=1)
    with pytest.raises(V4eggError, match="option 'population' is 7: input should be a multiple of 2"):
        make("finite_differences", population=7)
    with pytest.raises(V4eggError, match=r"initial codes of shape \(3, 8\); give \(20, 8\)"):
        make("genetic", initial=np.zeros((3, 8)))
    with pytest.raises(V4eggError, match="selected is 50"):
        make("sphere_cma", selected=50)
    with pytest.raises(V4eggError, match="covariance of 4096 entries is too large; use cma_diagonal"):
        make_optimizer("cma", [("run",)], 4096)
