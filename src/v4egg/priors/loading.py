"""Priors from their stores: networks by the class names in a store's specification, and loading of weights."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import ModelMixin, UNet2DModel

from v4egg.device import fast_bf16
from v4egg.errors import V4eggError
from v4egg.io import stores
from v4egg.priors.adm import ADMUNet
from v4egg.priors.latent import LatentPrior, new_vae
from v4egg.priors.prior import Prior, frozen

NETWORKS: dict[str, type[ModelMixin]] = {"UNet2DModel": UNet2DModel, "ADMUNet": ADMUNet}


def prior_from_spec(spec: Mapping[str, Any]) -> Prior:
    """Build an untrained prior from the specification that :meth:`v4egg.priors.prior.Prior.spec` returned."""
    prior = _networks_from_spec(spec)
    if spec.get("checkpointing"):
        prior.enable_gradient_checkpointing()
    return prior


def _networks_from_spec(spec: Mapping[str, Any]) -> Prior:
    network = NETWORKS[spec.get("class", "UNet2DModel")]
    unet = network.from_config(dict(spec["unet"]))
    if "vae" not in spec:
        return Prior(unet, spec["schedule"], spec["patch_size"])
    return LatentPrior(unet, spec["schedule"], new_vae(spec["vae"]))


def load_prior(path: str | Path, device: str = "cpu") -> Prior:
    """Load the prior in a store of kind ``weights`` that a rule of the workflow wrote.

    Args:
        path: the store, such as ``results/demo/prior.zarr``.
        device: where to compute.

    Returns:
        The frozen prior; in bfloat16 if that is fast on the device and the network does not predict noise.

    Raises:
        V4eggError: there is no such store, or its weights are not those of a prior of this version.

    Example:
        >>> import tempfile
        >>> from v4egg.priors.training import new_prior
        >>> path = Path(tempfile.mkdtemp()) / "prior.zarr"
        >>> new_prior({"size": 8, "channels": 1, "patch_size": 1, "widths": [16, 32], "layers": 1}).save(path)
        >>> load_prior(path).image_shape
        (1, 8, 8)
    """
    state, attrs = stores.load_weights(path)
    if "prior" not in attrs:
        raise V4eggError(f"{path}: these weights are not those of a prior; give a store that train_prior wrote")
    prior = prior_from_spec(json.loads(attrs["prior"]))
    try:
        prior.load_weights(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise V4eggError(
            f"{path}: weights of another architecture ({reason}); delete the store and run its rule again"
        ) from None
    # x0_hat amplifies rounding of predicted noise, by up to 157 in a linear schedule
    halved = fast_bf16(device) and prior.schedule["prediction_type"] != "epsilon"
    return frozen(prior, device, torch.bfloat16 if halved else torch.float32)
