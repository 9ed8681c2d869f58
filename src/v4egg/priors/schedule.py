"""Noise schedules of priors that were trained elsewhere: those of published weights by name, and what cannot work.

A schedule is the configuration of a :class:`diffusers.DDPMScheduler`. Files of weights do not state theirs, and weights
that are read under another one make images that look like images and are not those of the prior.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from diffusers import DDPMScheduler

from v4egg.errors import V4eggError

SCHEDULES = {"linear": "linear", "cosine": "squaredcos_cap_v2", "scaled_linear": "scaled_linear"}
PREDICTIONS = {"epsilon": "epsilon", "v": "v_prediction", "sample": "sample"}
VARIANCES = ("fixed_small", "fixed_large", "learned", "learned_range")
PUBLISHED_STEPS = 1000
PUBLISHED_BETAS = {"linear": (1e-4, 0.02), "scaled_linear": (0.00085, 0.012)}
FAINT = 1e-5  # share of the signal at the last step below which predicted noise does not determine the image


def noise_schedule(
    schedule: str | None = None,
    steps: int | None = None,
    predicts: str | None = None,
    betas: Sequence[float] | None = None,
    variance: str = "fixed_large",
) -> dict[str, Any]:
    """The schedule of weights that were trained as ADM's were.

    Args:
        schedule: ``linear`` (None; Ho et al. 2020), ``cosine`` (Nichol & Dhariwal 2021), or ``scaled_linear``, which is
            linear in the square root of beta (Rombach et al. 2022).
        steps: of the training; None: 1000.
        predicts: what the network predicts: ``epsilon``, the noise (None), ``v``, the velocity, or ``sample``.
        betas: first and last beta. None: 0.0001 and 0.02 for ``linear``, times 1000 / steps, and 0.00085 and 0.012 for
            ``scaled_linear``.
        variance: of a step, one of :data:`VARIANCES`.

    Raises:
        V4eggError: a word is unknown, or a schedule without betas is given some.

    Example:
        >>> options = noise_schedule("linear", 4000)
        >>> options["num_train_timesteps"], options["beta_end"]
        (4000, 0.005)
    """
    name, steps, predicts = schedule or "linear", steps or PUBLISHED_STEPS, predicts or "epsilon"
    for what, word, words in (("schedule", name, SCHEDULES), ("predicts", predicts, PREDICTIONS)):
        if word not in words:
            raise V4eggError(f"{what} is '{word}'; give one of {', '.join(words)}")
    options: dict[str, Any] = {
        "num_train_timesteps": steps,
        "beta_schedule": SCHEDULES[name],
        "prediction_type": PREDICTIONS[predicts],
        "variance_type": variance,
        "timestep_spacing": "linspace",  # 50 of 1000 steps are 0, 20, 41, 61, ..., 999
        "clip_sample": False,
    }
    if name == "cosine":
        if betas is not None:
            raise V4eggError("betas are given, and the cosine schedule has none; remove them")
    else:
        scale = PUBLISHED_STEPS / steps if name == "linear" else 1.0
        first, last = (scale * beta for beta in PUBLISHED_BETAS[name]) if betas is None else betas
        if not 0 < first <= last < 1:
            raise V4eggError(
                f"betas are {first:g} and {last:g}; give the first and the last, ascending, within 0 and 1"
            )
        options |= {"beta_start": first, "beta_end": last}
    # as in the published sampling; without it the error of the first steps is amplified by up to 1 / sqrt(alpha_bar)
    options["clip_sample"] = predicts == "epsilon" and last_signal(options) < FAINT
    return options


def last_signal(schedule: Mapping[str, Any]) -> float:
    """alpha_bar at the last step: the share of the signal in the variance of the noisiest image.

    Example:
        >>> round(1 / last_signal(noise_schedule()) ** 0.5)
        157
    """
    return float(DDPMScheduler.from_config(dict(schedule)).alphas_cumprod[-1])


def check_schedule(schedule: Mapping[str, Any], where: str = "") -> None:
    """Refuse a schedule under which no image can be computed from what the network predicts.

    Args:
        schedule: configuration of a diffusers scheduler.
        where: whose it is, for the error.

    Raises:
        V4eggError: the network predicts noise and the schedule ends in nothing but noise (zero terminal signal-to-noise
            ratio), or it predicts something unknown.
    """
    predicts = schedule.get("prediction_type", "epsilon")
    if predicts not in PREDICTIONS.values():
        known = ", ".join(PREDICTIONS.values())
        raise V4eggError(f"{where}the network predicts '{predicts}', which cannot be guided; give one of {known}")
    if predicts == "epsilon" and last_signal(schedule) == 0:
        raise V4eggError(
            f"{where}the noise schedule ends in noise alone (rescale_betas_zero_snr), where predicted noise tells no "
            "image; set what the network was trained for: prediction_type v_prediction or sample, or "
            "rescale_betas_zero_snr false"
        )


def default_variance(learned: bool) -> str:
    """The variance of a step of ADM's networks, depending on whether they have channels for it."""
    return "learned_range" if learned else "fixed_large"


def check_variance(schedule: Mapping[str, Any], learned: bool) -> None:
    """Refuse a variance that the network does not predict, or another one than it predicts.

    Args:
        schedule: configuration of a diffusers scheduler.
        learned: whether the network has as many channels again for a variance.

    Raises:
        V4eggError: the two do not fit.
    """
    variance = schedule.get("variance_type", "fixed_small")
    if learned != variance.startswith("learned"):
        channels = "has channels for a variance" if learned else "has no channels for a variance"
        fitting = [name for name in VARIANCES if name.startswith("learned") == learned]
        raise V4eggError(f"variance is '{variance}', and the network {channels}; give {' or '.join(fitting)}")
