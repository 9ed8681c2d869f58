"""Priors from their stores: which classes a store's specification names, and how its weights become a prior."""

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
    """An untrained prior of that specification."""
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
    """The prior in a ``prior.zarr`` store, frozen; in bf16 where that is fast, unless the network predicts noise."""
    state, attrs = stores.load_weights(path)
    if "prior" not in attrs:
        raise V4eggError(f"{path}: these weights are not a prior's; give a store that train_prior wrote")
    prior = prior_from_spec(json.loads(attrs["prior"]))
    try:
        prior.load_weights(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise V4eggError(
            f"{path}: weights of another architecture ({reason}); delete the store and run its rule again"
        ) from None
    # clean images amplify the rounding of predicted noise, by up to 157 in a linear schedule
    halved = fast_bf16(device) and prior.schedule["prediction_type"] != "epsilon"
    return frozen(prior, device, torch.bfloat16 if halved else torch.float32)
