"""The layout of each kind of Zarr store: variables, dims, dtypes and units. docs/stores.md shows this table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Variable:
    """One variable of a kind of store.

    Attributes:
        dims: names of its dimensions.
        dtype: ``"str"``, or the name of a numpy dtype such as ``"float32"``.
        unit: unit of its values; for text, the possible values.
        meaning: description for the reference, and the ``long_name`` of the variable.
        optional: whether a store may lack it.

    Example:
        >>> KINDS["pool"]["source"].dims
        ('image',)
    """

    dims: tuple[str, ...]
    dtype: str
    unit: str
    meaning: str
    optional: bool = False


_RESPONSE = "spikes per window, or the recording's response_unit"
_IMAGE = ("channel", "y", "x")
_LOOP = ("arm", "round", "unit")
_SCORE = ("arch", "member", "split", "unit")
_RECONSTRUCTED = ("source", "method", "image")
_SERIES = ("unit", "setting", "sample")
_STAGE = ("stage", "unit")
_LIKENESS = ("measure", "condition", "layer", "unit")
_FILTER = ("layer", "filter")
_CHANGED = ("unit", "direction", "epsilon", "sample")
_PROBE = {
    "size": ("sides of the image", "diameter of a dot or disc"),
    "x": ("sides of the image", "distance from the left border; for an edge, its position along its normal"),
    "y": ("sides of the image", "distance from the upper border"),
    "polarity": ("1", "1 white, -1 black"),
    "orientation": ("degrees", "of the waves of a grating or texture; of the direction of a contour"),
    "frequency": ("cycles per image", "of gratings and textures"),
    "phase": ("degrees", "of gratings and arrays of dots"),
    "curvature": ("1 / side of the image", "0 for straight contours"),
    "hue": ("degrees", "0 red, 120 green, 240 blue"),
    "sample": ("index", "noise of a texture"),
}
_SHARED = ("shared", "unit")
_TRANSFER = ("method", "arch", "unit", "sample", "judge")
_SHARES_WEIGHTS = Variable(
    ("arch", "judge"), "bool", "1", "whether the judge shares members or a frozen network with the generators"
)

KINDS: dict[str, dict[str, Variable]] = {
    "recording": {
        "images": Variable(("image", *_IMAGE), "uint8", "intensity 0-255", "the images shown"),
        "trial_image": Variable(("trial",), "int64", "index", "position of the trial's image on the image axis", True),
        "trial_onset": Variable(("trial",), "float64", "s", "start of the presentation", True),
        "trial_offset": Variable(("trial",), "float64", "s", "end of the presentation; NaN: unknown", True),
        "spike_times": Variable(("spike",), "float64", "s", "spike times, unit after unit", True),
        "spike_count": Variable(("unit",), "int64", "spikes", "number of entries of spike_times per unit", True),
        "counts": Variable(
            ("image", "repeat", "unit"),
            "float32",
            _RESPONSE,
            "of sources without spikes; NaN where not repeated or not recorded",
            True,
        ),
        "recorded": Variable(
            ("interval", "edge"),
            "float64",
            "s",
            "start and stop of the times in which a unit was recorded, unit after unit; absent: always",
            True,
        ),
        "recorded_count": Variable(("unit",), "int64", "intervals", "number of entries of recorded per unit", True),
    },
    "splits": {
        "split": Variable(("image",), "str", "train | validation | test | excluded", "role of each image"),
        "duplicate_group": Variable(
            ("image",), "int64", "index", "position of the first image that shows the same picture"
        ),
    },
    "responses": {
        "counts": Variable(("image", "repeat", "unit"), "float32", _RESPONSE, "NaN where not repeated or not recorded"),
        "reliability": Variable(
            ("unit",), "float32", "correlation", "split-half, Spearman-Brown corrected; NaN without repeats"
        ),
        "signal_to_noise": Variable(
            ("unit",), "float32", "ratio", "image variance over trial variance; NaN without repeats"
        ),
        "mean_count": Variable(("unit",), "float32", _RESPONSE, "mean over fit images"),
        "sd_count": Variable(("unit",), "float32", _RESPONSE, "sd over fit images of the repeat mean"),
        "recorded_fraction": Variable(
            ("unit",), "float32", "1", "share of all presentations in which the unit was recorded"
        ),
        "recorded_images": Variable(("unit",), "float32", "1", "share of fit images to which the unit has a response"),
        "selected": Variable(("unit",), "bool", "1", "passes the selection of the configuration"),
        "split": Variable(("image",), "str", "train | validation | test | excluded", "role of each image"),
    },
    "pool": {
        "images": Variable(("image", *_IMAGE), "uint8", "intensity 0-255", "images without those of any test split"),
        "source": Variable(("image",), "str", "name", "session or photograph that the image comes from"),
    },
    "features": {
        "features": Variable(
            ("image", "view", "feature", "y", "x"), "float16", "1", "of a frozen network; view 0 is the image unshifted"
        ),
    },
    "natural_responses": {
        "response": Variable(
            ("image", "unit"), "float32", "response of the judge", "to each natural image of the session"
        ),
    },
    "predictions": {
        "response": Variable(
            ("arch", "member", "image", "unit"),
            "float32",
            "response of the member",
            "to natural images, z-scored or spikes per window as in output[arch]; NaN: not computed",
            True,
        ),
    },
    "baselines": {
        "prediction": Variable(
            ("baseline", "image", "unit"), "float32", _RESPONSE, "of models fitted to the fit images"
        ),
    },
    "weights": {
        "float32": Variable(
            ("parameter",), "float32", "1", "all floating-point tensors, flattened in the order of attrs['layout']"
        ),
        "int64": Variable(("counter",), "int64", "1", "all integer tensors, flattened likewise", True),
        "loss": Variable(("epoch",), "float32", "loss", "training loss", True),
        "validation": Variable(("epoch",), "float32", "correlation", "validation correlation to average", True),
    },
    "scores": {
        "correlation_to_average": Variable(_SCORE, "float32", "correlation", "with the repeat mean"),
        "single_trial_correlation": Variable(_SCORE, "float32", "correlation", "pooled over trials", True),
        "feve": Variable(_SCORE, "float32", "1", "fraction of explainable variance explained", True),
        "r2_er": Variable(_SCORE, "float32", "1", "noise-corrected squared correlation", True),
        "correlation_to_truth": Variable(_SCORE, "float32", "correlation", "with the noise-free response", True),
        "correlation_by_size": Variable(
            ("arch", "size", "split", "unit"),
            "float32",
            "correlation",
            "to average, by the number of members of the ensemble",
            True,
        ),
        "combined_correlation": Variable(
            ("combined", "split", "unit"), "float32", "correlation", "to average, of means of ensembles", True
        ),
        "reference_model_correlation": Variable(
            ("reference_model", "split", "unit"),
            "float32",
            "correlation",
            "to average, of reference models",
            True,
        ),
        "baseline_correlation": Variable(
            ("baseline", "unit"), "float32", "correlation", "to average, of baselines on test images", True
        ),
        "ceiling": Variable(("unit",), "float32", "correlation", "of the correlation to average on test images", True),
        "leave_one_out": Variable(
            ("unit",), "float32", "correlation", "of test trials with the mean of the image's other trials", True
        ),
        "explainable_variance": Variable(
            ("unit",), "float32", "1", "share of the variance of test trials that the image explains", True
        ),
    },
    "targets": {
        "validator_correlation": Variable(
            ("arch", "unit"), "float32", "correlation", "validators on the validation split"
        ),
    },
    "mei": {
        "image": Variable(
            ("unit", "sample", *_IMAGE), "float32", "intensity 0-1", "most exciting image, as it would be displayed"
        ),
        "activation": Variable(("unit", "sample", "step"), "float32", "response of the generators", "trajectory"),
        "evaluations": Variable(("unit", "sample"), "int64", "images", "forward passes of the encoder per image"),
        "seconds": Variable(("unit", "sample"), "float32", "s", "wall time of the batch divided by its images"),
    },
    "evolution": {
        "presentations": Variable(("neuron", "round"), "int64", "images", "number until then, with repeats"),
        "best": Variable(("neuron", "round"), "float32", "score", "highest until then"),
        "mean": Variable(("neuron", "round"), "float32", "score", "of the round's images"),
        "noiseless": Variable(("neuron", "round"), "float32", "response", "mean of the round's images, without noise"),
        "evolved": Variable(("neuron",), "float32", "response", "without noise, to the image that scored highest"),
        "natural": Variable(("neuron",), "float32", "response", "without noise, to the best natural image"),
        "evolved_over_natural": Variable(("neuron",), "float32", "1", "evolved over natural, where that is above 0"),
        "image": Variable(("neuron", *_IMAGE), "float32", "intensity 0-1", "the image that scored highest"),
        "group": Variable(("neuron",), "str", "name", "session or layer that the neuron belongs to"),
    },
    "transfer": {
        "activation": Variable(_TRANSFER, "float32", "response of the judge", "raw"),
        "zscore": Variable(_TRANSFER, "float32", "sd", "by the judge's responses to natural images"),
        "normalized_activation": Variable(
            _TRANSFER, "float32", "1", "0: mean natural image; 1: the natural image that the generators select"
        ),
        "normalized_to_best_natural": Variable(
            _TRANSFER, "float32", "1", "0: mean natural image; 1: the natural image with the judge's highest response"
        ),
        "normalized_at_matched_contrast": Variable(
            _TRANSFER,
            "float32",
            "1",
            "normalized_activation after scaling to the contrast of the selected natural image",
        ),
        "contrast": Variable(("method", "arch", "unit", "sample"), "float32", "intensity 0-1", "RMS of the luminance"),
        "shares_weights": _SHARES_WEIGHTS,
        "model_selected_natural": Variable(
            ("arch", "unit"), "str", "image", "the natural image with the generators' highest response"
        ),
        "natural_image": Variable(
            ("arch", "unit", *_IMAGE), "float32", "intensity 0-1", "pixels of model_selected_natural"
        ),
    },
    "closed_loop": {
        "activation": Variable(_LOOP, "float32", "spikes per window", "true response of the brain to the unit's image"),
        "predicted": Variable(
            _LOOP, "float32", "response of the encoders", "prediction of the encoders that the image was made with"
        ),
        "normalized_activation": Variable(
            _LOOP, "float32", "1", "0: mean natural image; 1: the one that the encoders select"
        ),
        "image": Variable((*_LOOP, *_IMAGE), "float32", "intensity 0-1", "made with the encoders of that round"),
        "presentations": Variable(("round",), "int64", "presentations", "number until then, per arm"),
    },
    "natural": {
        "image": Variable(("unit", "sample", *_IMAGE), "float32", "intensity 0-1", "of the pool, best first"),
        "response": Variable(("unit", "sample"), "float32", "response of the generators", "to the image"),
        "source": Variable(("unit", "sample"), "str", "name", "session, photograph or file that it comes from"),
        "position": Variable(("unit", "sample"), "int64", "index", "of the image in the pool followed by the folder"),
        "mean": Variable(("unit",), "float32", "response of the generators", "mean over all images searched"),
        "sd": Variable(("unit",), "float32", "response of the generators", "sd over all images searched"),
    },
    "series": {
        "image": Variable(
            (*_SERIES, *_IMAGE), "float32", "intensity 0-1", "meni: setting is lambda; diverse: the weight of diversity"
        ),
        "activation": Variable(_SERIES, "float32", "response of the generators", "to the image"),
        "evaluations": Variable(_SERIES, "int64", "images", "forward and backward passes of the encoder per image"),
        "seconds": Variable(_SERIES, "float32", "s", "wall time of the batch divided by its images"),
    },
    "judged": {
        "activation": Variable(
            ("arch", *_SERIES, "judge"), "float32", "response of the judge", "to each image of a sweep"
        ),
        "shares_weights": _SHARES_WEIGHTS,
    },
    "samples": {
        "sample": Variable(("sample", *_IMAGE), "float32", "intensity 0-1", "of the prior, unguided"),
        "crop": Variable(("crop", *_IMAGE), "float32", "intensity 0-1", "of the pool; twice as many as samples"),
    },
    "reconstruction": {
        "reconstruction": Variable(
            (*_RECONSTRUCTED, *_IMAGE), "float32", "intensity 0-1", "reconstructed from responses"
        ),
        "true": Variable(("image", *_IMAGE), "float32", "intensity 0-1", "the image that evoked the responses"),
        "training_error": Variable(
            _RECONSTRUCTED, "float32", "response^2", "mean squared error over units, under the generators"
        ),
        "evaluations": Variable(
            _RECONSTRUCTED, "int64", "images", "forward and backward passes of the encoder per image"
        ),
        "seconds": Variable(_RECONSTRUCTED, "float32", "s", "wall time of the batch divided by its images"),
    },
    "reconstruction_scores": {
        "distance": Variable(
            ("arch", *_RECONSTRUCTED, "judge"),
            "float32",
            "response^2",
            "mean squared difference of the judge's responses to reconstruction and true image",
        ),
        "similarity": Variable(
            ("arch", "measure", *_RECONSTRUCTED),
            "float32",
            "1",
            "to the true image: ssim, pixel_correlation, feature_distance",
        ),
        "shares_weights": _SHARES_WEIGHTS,
    },
    "teacher": {
        "images": Variable(
            ("image", *_IMAGE), "uint8", "intensity 0-255", "views of pictures, the input of the students"
        ),
        "response": Variable(("image", "unit"), "float32", "response of the teacher", "to each view"),
        "split": Variable(("image",), "str", "fit | pruning | test", "use of the view"),
        "duplicate_group": Variable(("image",), "int64", "index", "group of near-duplicate pictures; it has one split"),
        "session_response": Variable(
            ("shown", "unit"), "float32", "response of the teacher", "to the test images of the sessions, for scores"
        ),
    },
    "compact": {
        "filters": Variable(
            (*_STAGE, "layer"), "int64", "filters", "of each unit's network: distilled, pruned, retrained"
        ),
        "parameter": Variable(
            ("parameter",), "float32", "1", "the networks' tensors, flattened, stage after stage and unit after unit"
        ),
        "r2_to_teacher": Variable(
            _STAGE, "float32", "1", "squared correlation with the teacher, on pool images not used for fitting", True
        ),
        "correlation_to_average": Variable(
            _STAGE, "float32", "correlation", "with the repeat mean, on the session's test images", True
        ),
        "r2_er": Variable(_STAGE, "float32", "1", "noise-corrected squared correlation on the same images", True),
        "seconds": Variable(_STAGE, "float32", "s", "wall time of the batch in that stage divided by its units", True),
        "teacher_correlation": Variable(("unit",), "float32", "correlation", "of the teacher on the same images", True),
        "teacher_r2_er": Variable(("unit",), "float32", "1", "of the teacher on the same images", True),
        "published_parameters": Variable(
            ("unit",), "int64", "numbers", "of the published model of the unit, batch norms folded; 0: none", True
        ),
    },
    "tuning": {
        "response": Variable(("unit", "probe"), "float32", "response of the models", "to each probe"),
        "stimulus_class": Variable(
            ("probe",), "str", "grey | dot | dots | grating | edge | contour | texture | colour", "of the probe"
        ),
        **{
            name: Variable(("probe",), "float64", unit, f"{text}; NaN if unused")
            for name, (unit, text) in _PROBE.items()
        },
    },
    "circuits": {
        "filters": Variable(("unit", "layer"), "int64", "filters", "of each layer of each unit's network"),
        "parameters": Variable(("unit",), "int64", "numbers", "size of the network, batch norms folded"),
        "consolidation": Variable(
            ("unit",), "float32", "1", "(E - L) / (E + L); E, L: mean number of filters of layers 0-1, 2-4"
        ),
        "similarity": Variable(
            _LIKENESS,
            "float32",
            "correlation or cosine",
            "mean similarity of filters and their best match in other units",
        ),
        "matched": Variable(
            _LIKENESS, "float32", "correlation or cosine", "the same with the best of 3 random filters"
        ),
    },
    "dot_detector": {
        "dot_index": Variable(
            ("unit",), "float32", "1", "(D - R) / (D + R); D, R: response to the best dot, the best rival"
        ),
        "dot_response": Variable(("unit",), "float32", "response of the models", "to the best dot, above grey"),
        "rival_response": Variable(("unit",), "float32", "response of the models", "to the best rival, above grey"),
        "dot_probe": Variable(("unit",), "str", "probe", "the best dot"),
        "rival_probe": Variable(("unit",), "str", "probe", "the best probe other than small dots"),
        "contribution": Variable(
            _FILTER, "float32", "response", "part of the response to the best dot that is lost without the filter"
        ),
        "rival_contribution": Variable(
            _FILTER, "float32", "response", "part of the response to the best rival that is lost without the filter"
        ),
        "filter_index": Variable(_FILTER, "float32", "1", "dot index of the filter's mean output"),
        "ablated": Variable(
            ("layer", "removed"),
            "float32",
            "1",
            "selectivity that remains without the filters of the largest contribution",
        ),
        "ablated_random": Variable(("layer", "removed", "draw"), "float32", "1", "the same without random filters"),
        "rank": Variable(("layer", "shown"), "int64", "index", "filters of the largest contribution; -1: none"),
        "map": Variable(
            ("layer", "shown", "stimulus", "y", "x"), "float32", "output", "of the ranked filters for dot and rival"
        ),
        "flow": Variable(
            ("layer", "shown", "source"),
            "float32",
            "input",
            "from ranked filters of the layer before, where the dot raises it most",
        ),
    },
    "adversarial": {
        "image": Variable((*_CHANGED, *_IMAGE), "float32", "intensity 0-1", "natural image plus change"),
        "natural_image": Variable(
            ("unit", "sample", *_IMAGE), "uint8", "intensity 0-255", "the image before the change"
        ),
        "rms": Variable(_CHANGED, "float32", "intensity 0-1", "root mean square of the change"),
        "natural": Variable(("unit", "sample", "judge"), "float32", "response of the judge", "to the natural image"),
        "adversarial": Variable((*_CHANGED, "judge"), "float32", "response of the judge", "to the adversarial image"),
        "random": Variable(
            ("unit", "kind", "epsilon", "sample", "draw", "judge"),
            "float32",
            "response of the judge",
            "to the image with a random change of size epsilon",
        ),
        "position": Variable(
            ("unit", "sample"), "int64", "index", "of the natural image among the session's test images"
        ),
        "natural_sd": Variable(("unit", "judge"), "float32", "response of the judge", "sd over natural images"),
        "shares_weights": Variable(
            ("judge",), "bool", "1", "whether the judge is the model that the images were made with"
        ),
    },
    "compact_shared": {
        "r2_to_teacher": Variable(
            _SHARED,
            "float32",
            "1",
            "squared correlation on pool images not used for fitting, by filters per shared layer",
        ),
        "correlation_to_average": Variable(_SHARED, "float32", "correlation", "on the session's test images"),
        "parameters": Variable(("shared",), "int64", "numbers", "size of the model of all units"),
    },
}

# Raise a kind's version whenever one of its variables, dims or attributes changes its name or its meaning: a store of
# another version is refused instead of being misread.
VERSIONS: dict[str, int] = dict.fromkeys(KINDS, 1) | {"recording": 2, "responses": 2, "reconstruction": 2}
