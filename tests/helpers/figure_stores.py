"""Small stores that figures are drawn from in tests, and what is read off a figure."""

import inspect
import io
import json

import numpy as np
import xarray as xr

from v4egg.io import stores
from v4egg.seeding import numpy_generator

METHODS = ("gradient_ascent", "energy_guided", "model_selected_natural")
SCORE = ("arch", "member", "split", "unit")
JUDGED = ("method", "arch", "unit", "sample", "judge")
ARCHS = ("attention", "task_driven")


def units_of(sessions):
    return [f"{session}-u{i:03d}" for session, n in sessions.items() for i in range(n)]


def save_scores(path, sessions, archs=ARCHS, extras=True):
    """Correlations between 0.3 and 0.9; a session named ``off`` has no test split."""
    units = units_of(sessions)
    names = [unit.split("-")[0] for unit in units]
    members = ["m0", "m1", "generators", "validators", "ensemble"]
    values = numpy_generator("scores", len(units)).uniform(0.3, 0.9, (len(archs), len(members), 2, len(units)))
    values[:, :, 1, [name == "off" for name in names]] = np.nan
    variables = {"correlation_to_average": (SCORE, values)}
    coords = {"arch": list(archs), "member": members, "split": ["validation", "test"], "unit": units}
    if extras:
        variables["correlation_to_truth"] = (SCORE, values + 0.05)
        variables["ceiling"] = ("unit", values[0, 0, 1])
        variables["reference_model_correlation"] = (("reference_model", "split", "unit"), values[:1, 0])
        variables["combined_correlation"] = (("combined", "split", "unit"), values[:, 4].mean(0, keepdims=True))
        variables["baseline_correlation"] = (("baseline", "unit"), values[0, :2, 1] / 2)
        coords |= {"combined": ["mixed"], "reference_model": ["published_compact"], "baseline": ["ridge", "shuffled"]}
    stores.save(xr.Dataset(variables, {**coords, "session": ("unit", names)}), path, "scores")
    return path


def save_transfer(
    path, n_units=6, n_samples=2, archs=ARCHS, methods=METHODS, channels=3, judges=("across", "published_compact")
):
    units, judges = units_of({"s": n_units}), ["generators", *judges]
    shape = (len(methods), len(archs), n_units, n_samples, len(judges))
    values = numpy_generator("transfer", n_units).gamma(3.0, 1.0, shape)
    if "model_selected_natural" in methods:
        values[methods.index("model_selected_natural"), :, :, 1:] = np.nan
    names = np.array([[f"{arch}/{unit}" for unit in units] for arch in archs], object)
    variables = {
        "activation": (JUDGED, values),
        "zscore": (JUDGED, values - 1),
        "normalized_activation": (JUDGED, values / 3),
        "normalized_to_best_natural": (JUDGED, values / 4),
        "normalized_at_matched_contrast": (JUDGED, values / 5),
        "contrast": (JUDGED[:-1], values[..., 0]),
        "shares_weights": (("arch", "judge"), np.array([[judge == "generators" for judge in judges]] * len(archs))),
        "model_selected_natural": (("arch", "unit"), names),
        "natural_image": (("arch", "unit", "channel", "y", "x"), np.full((len(archs), n_units, channels, 6, 6), 0.5)),
    }
    coords = {"method": list(methods), "arch": list(archs), "unit": units, "judge": judges}
    stores.save(xr.Dataset(variables, coords), path, "transfer")
    return path


def save_mei(path, method, arch, n_units=6, n_samples=2, channels=3, final=4.0, seconds=2.0, steps=5):
    rise = np.linspace(0.25, 1, steps) if steps > 1 else np.ones(1)
    scale = final * np.arange(1, n_units + 1)[:, None, None] * np.ones((1, n_samples, 1))
    samples = np.arange(n_samples)[None, :, None, None, None] / 10
    variables = {
        "image": (("unit", "sample", "channel", "y", "x"), np.zeros((n_units, n_samples, channels, 6, 6)) + samples),
        "activation": (("unit", "sample", "step"), scale * rise),
        "evaluations": (("unit", "sample"), np.full((n_units, n_samples), 10 * steps)),
        "seconds": (("unit", "sample"), np.full((n_units, n_samples), seconds)),
    }
    attrs = {"method": method, "arch": arch}
    stores.save(xr.Dataset(variables, {"unit": units_of({"s": n_units})}, attrs), path, "mei")
    return path


def save_meis(folder, archs=ARCHS, **options):
    costs = {"gradient_ascent": (4.0, 6.0, 5), "energy_guided": (3.0, 2.0, 4)}
    return [
        save_mei(folder / f"{method}-{arch}.zarr", method, arch, final=f, seconds=s, steps=n, **options)
        for arch in archs
        for method, (f, s, n) in costs.items()
    ]


def rendered(figure):
    """The figure after it was drawn once: odd data must not break what happens only then."""
    figure.savefig(io.BytesIO(), format="png", dpi=30)
    return figure


def texts(figure):
    """Everything that is written on a figure."""
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")) if text.get_text()]


SERIES = ("unit", "setting", "sample")
IMAGE = ("channel", "y", "x")


def save_series(path, sweep, arch, settings=(0, 1, 10), n_units=6, samples=2, channels=3):
    """Images whose samples are the less alike the later the setting."""
    generator = numpy_generator("series", sweep, arch)
    shape = (n_units, len(settings), samples)
    spread = np.arange(len(settings))[None, :, None, None, None, None]
    same = generator.uniform(0.2, 0.8, (n_units, 1, 1, channels, 6, 6))
    variables = {
        "image": ((*SERIES, *IMAGE), same + 0.1 * spread * generator.standard_normal((*shape, channels, 6, 6))),
        "activation": (SERIES, np.ones(shape)),
        "evaluations": (SERIES, np.full(shape, 5)),
        "seconds": (SERIES, np.ones(shape)),
    }
    coords = {"unit": units_of({"s": n_units}), "setting": list(map(float, settings))}
    stores.save(xr.Dataset(variables, coords, {"sweep": sweep, "arch": arch}), path, "series")
    return path


def save_natural(path, arch, n_units=6, k=2, channels=3):
    variables = {
        "image": (("unit", "sample", *IMAGE), np.full((n_units, k, channels, 6, 6), 0.5)),
        "response": (("unit", "sample"), np.ones((n_units, k))),
        "source": (("unit", "sample"), np.full((n_units, k), "s", object)),
        "position": (("unit", "sample"), np.zeros((n_units, k), int)),
        "mean": ("unit", np.zeros(n_units)),
        "sd": ("unit", np.ones(n_units)),
    }
    stores.save(xr.Dataset(variables, {"unit": units_of({"s": n_units})}, {"arch": arch}), path, "natural")
    return path


def save_judged(path, settings=(0, 1, 10), n_units=6, samples=2, archs=ARCHS, judges=("validators", "across")):
    names = ["generators", *judges]
    shape = (len(archs), n_units, len(settings), samples, len(names))
    values = numpy_generator("judged", *shape).gamma(3.0, 1.0, shape)
    variables = {
        "activation": (("arch", *SERIES, "judge"), values),
        "shares_weights": (("arch", "judge"), np.array([[name == "generators" for name in names]] * len(archs))),
    }
    coords = {"arch": list(archs), "unit": units_of({"s": n_units}), "setting": list(map(float, settings))}
    stores.save(xr.Dataset(variables, {**coords, "judge": names}), path, "judged")
    return path


def meni_arguments(folder, archs=ARCHS, n_units=6, judges=("validators", "across"), channels=3):
    folder.mkdir(exist_ok=True)
    sizes = {"n_units": n_units, "channels": channels}
    return (
        [save_series(folder / f"meni-{arch}.zarr", "meni", arch, **sizes) for arch in archs],
        [save_natural(folder / f"natural-{arch}.zarr", arch, **sizes) for arch in archs],
        [save_mei(folder / f"ascent-{arch}.zarr", "gradient_ascent", arch, **sizes) for arch in archs],
        save_judged(folder / "judged.zarr", n_units=n_units, archs=archs, judges=judges),
        save_judged(folder / "judged-natural.zarr", (0,), n_units, archs=archs, judges=judges),
        save_transfer(folder / "meni-transfer.zarr", n_units, archs=archs, judges=judges),
    )


def save_reconstruction(path, arch="attention", n=5, channels=3):
    dims, shape = ("source", "method", "image"), (2, 2, n)
    generator = numpy_generator("reconstruction", n)
    variables = {
        "reconstruction": ((*dims, *IMAGE), generator.random((*shape, channels, 6, 6))),
        "true": (("image", *IMAGE), generator.random((n, channels, 6, 6))),
        "training_error": (dims, generator.random(shape)),
        "evaluations": (dims, np.full(shape, 7)),
        "seconds": (dims, np.ones(shape)),
    }
    coords = {"source": ["predicted", "recorded"], "method": ["energy_guided", "gradient_descent"]}
    names = [f"s/i{i}" for i in range(n)]
    stores.save(xr.Dataset(variables, {**coords, "image": names}, {"arch": arch}), path, "reconstruction")
    return path


def save_reconstruction_scores(path, archs=("attention",), n=5, judges=("generators", "across")):
    generator = numpy_generator("scores", n)
    shape = (len(archs), 2, 3, n)
    dims = ("source", "method", "image")
    variables = {
        "distance": (("arch", *dims, "judge"), generator.gamma(2.0, 1.0, (*shape, len(judges)))),
        "similarity": (("arch", "measure", *dims), generator.random((len(archs), 3, *shape[1:]))),
        "shares_weights": (("arch", "judge"), np.array([[judge == "generators" for judge in judges]] * len(archs))),
    }
    coords = {
        "arch": list(archs),
        "source": ["predicted", "recorded"],
        "method": ["energy_guided", "gradient_descent", "other_image"],
        "image": [f"s/i{i}" for i in range(n)],
        "judge": list(judges),
        "measure": ["ssim", "pixel_correlation", "feature_distance"],
    }
    stores.save(xr.Dataset(variables, coords), path, "reconstruction_scores")
    return path


def save_samples(path, n=8, size=16, channels=3):
    """Samples are noise, crops are smoother noise."""
    generator = numpy_generator("samples", n)
    noise = generator.uniform(0, 1, (3 * n, channels, size, size))
    smooth = (noise[n:] + np.roll(noise[n:], 1, -1) + np.roll(noise[n:], 1, -2)) / 3
    variables = {"sample": (("sample", *IMAGE), noise[:n]), "crop": (("crop", *IMAGE), smooth)}
    stores.save(xr.Dataset(variables), path, "samples")
    return path


def save_closed_loop(path, n_units=6, rounds=2, session="sim01"):
    """Two arms that start alike; the arm shown its own images gains 0.5 a round in every unit, the other nothing."""
    gain = np.array([0.5, 0.0])[:, None, None] * np.arange(rounds + 1)[:, None]
    values = np.linspace(0.2, 1.4, n_units) + gain
    dims = ("arm", "round", "unit")
    variables = {
        "activation": (dims, 10 * values),
        "predicted": (dims, 15 * values),
        "normalized_activation": (dims, values),
        "image": ((*dims, *IMAGE), np.zeros((*values.shape, 3, 6, 6))),
        "presentations": ("round", 100 * np.arange(rounds + 1)),
    }
    coords = {"arm": ["synthesised", "natural"], "unit": units_of({session: n_units})}
    attrs = {"arch": "attention", "session": session, "method": "energy_guided"}
    stores.save(xr.Dataset(variables, coords, attrs), path, "closed_loop")
    return path


def save_evolutions(folder):
    """Neurons whose evolved image reaches 0.5, 1, 1.5, ... of the best natural one; the last has no natural drive."""
    paths = []
    for name, groups in {"genetic": ["s1"] * 5, "inside": ["core.3", "core.3", "core.6", "core.6", "core.6"]}.items():
        natural, share = np.array([2.0, 2, 4, 4, 0]), np.array([0.5, 1, 1.5, 2, 3])
        rise = np.linspace(0.2, 1, 6)[None] * (natural * share)[:, None]
        variables = {
            "presentations": (("neuron", "round"), np.tile(20 * np.arange(1, 7), (5, 1))),
            **dict.fromkeys(("best", "mean", "noiseless"), (("neuron", "round"), rise)),
            "evolved": ("neuron", natural * share),
            "natural": ("neuron", natural),
            "evolved_over_natural": ("neuron", np.where(natural > 0, share, np.nan)),
            "image": (("neuron", "channel", "y", "x"), np.zeros((5, 3, 6, 6))),
            "group": ("neuron", np.array(groups, object)),
        }
        coords = {"neuron": np.array([f"{name}-{i}" for i in range(5)], object)}
        paths.append(folder / f"{name}.zarr")
        stores.save(xr.Dataset(variables, coords, {"condition": name}), paths[-1], "evolution")
    return paths


def save_settings(folder):
    """A condition and what becomes of it when its population or its mutation rate is another."""
    names, settings = ["ga-0", "ga-1", "ga-2", "ga-3"], {"population": 20, "mutation_rate": 0.5}
    variants = {"ga": ("", 20), "ga-population-10": ("population", 10), "ga-population-40": ("population", 40)}
    variants["ga-mutation_rate-0.25"] = ("mutation_rate", 0.25)
    paths = []
    for rank, (name, (setting, value)) in enumerate(variants.items()):
        relative = np.array([0.5, 1.0, 1.5, np.nan]) + 0.25 * rank
        flat = (("neuron", "round"), np.ones((4, 2)))
        variables = {
            "presentations": (("neuron", "round"), np.tile([20, 40], (4, 1))),
            **dict.fromkeys(("best", "mean", "noiseless"), flat),
            "evolved": ("neuron", relative),
            "natural": ("neuron", np.ones(4)),
            "evolved_over_natural": ("neuron", relative),
            "image": (("neuron", "channel", "y", "x"), np.zeros((4, 3, 6, 6))),
            "group": ("neuron", np.array(["s1"] * 4, object)),
        }
        own = {**settings, setting: value} if setting else settings
        swept = {"condition": "ga", "setting": setting} if setting else {}
        attrs = {"condition": name, "settings": json.dumps(own), "swept": json.dumps(swept)}
        paths.append(folder / f"{name}.zarr")
        stores.save(xr.Dataset(variables, {"neuron": np.array(names, object)}, attrs), paths[-1], "evolution")
    return paths


def save_compact(path, session="one", n_units=5, published=True):
    """Compact models whose r2 to the teacher is 0.8, 0.7 and 0.75, and of whose 6 filters a layer 3 stay."""
    units = units_of({session: n_units})
    stages = ["distilled", "pruned", "retrained"]
    filters = np.full((3, n_units, 5), 3)
    filters[0] = 6
    level = np.array([0.8, 0.7, 0.75])[:, None] * np.ones(n_units)
    variables = {
        "filters": (("stage", "unit", "layer"), filters),
        "parameter": ("parameter", np.zeros(1)),
        "r2_to_teacher": (("stage", "unit"), level),
        "correlation_to_average": (("stage", "unit"), level - 0.1),
        "r2_er": (("stage", "unit"), np.full((3, n_units), np.nan)),
        "seconds": (("stage", "unit"), level),
        "teacher_correlation": ("unit", level[0]),
        "teacher_r2_er": ("unit", np.full(n_units, np.nan)),
    }
    if published:
        variables["published_parameters"] = ("unit", np.array([0, *[500] * (n_units - 1)]))
    attrs = {"size": 16, "strides": [2, 2, 1, 1], "session": session, "teacher_parameters": 656_000}
    stores.save(xr.Dataset(variables, {"unit": units, "stage": stages}, attrs), path, "compact")
    return path


def draw(module, *inputs, **options):
    """A figure as the workflow draws it: from its table, and from those of its inputs that hold images."""
    given = inspect.signature(module.table).bind(*inputs, **options).arguments
    images = [name for name in inspect.signature(module.draw).parameters if name != "numbers"]
    return module.draw(module.table(**given), **{name: given[name] for name in images})
