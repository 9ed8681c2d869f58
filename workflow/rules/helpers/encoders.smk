"""What architectures are trained with, and the frozen networks that they share."""

from v4egg.encoders.registry import BACKBONES, BASELINES
from v4egg.workflow.provenance import configuration_digest

REFITTED = {a: entry["refit"] for a, entry in config["encoders"]["architectures"].items() if "refit" in entry}


def architecture_of(arch):
    """The architecture itself, or the one that it refits."""
    return config["encoders"]["architectures"][REFITTED.get(arch, arch)]


def training_options(arch):
    """How an architecture is trained: the common options, and those that are its own; channels follow the splits."""
    own = architecture_of(arch).get("training", {})
    return {"size": config["images"]["size"], **config["encoders"]["training"], **own}


def frozen_options(arch):
    """What decides the features of an architecture's frozen network; None where it has none."""
    architecture = architecture_of(arch)
    if "backbone" not in architecture["core"]:
        return None
    training = training_options(arch)
    share = training["shift"] / config["images"]["size"] if training["views"] > 1 else 0.0
    size = architecture.get("size", config["images"]["size"])
    return {"backbone": architecture["core"]["backbone"], "size": size, "views": training["views"], "shift": share}


def frozen_key(options):
    """The folder of frozen features: architectures that share a frozen network share them."""
    return f"{options['backbone']['name']}-{configuration_digest(options)}"


FROZEN = {frozen_key(options): options for options in map(frozen_options, ARCHITECTURES) if options}


def backbone_inputs(backbone):
    """Where a frozen network has its weights from: stores such as the prior, or a file that the configuration names."""
    stores = store_inputs(required_stores(BACKBONES, backbone["name"], backbone, "backbone"))
    weights = backbone.get("weights", "pretrained")
    return stores if weights == "pretrained" else {**stores, "weights": given(weights)}


def frozen_inputs(arch):
    """Frozen features of all sessions, and the weights of their network, as far as an architecture needs them."""
    options = frozen_options(arch)
    if options is None:
        return {}
    folder = f"{RESULTS}/features/{frozen_key(options)}"
    return {"features": [f"{folder}/{s}.zarr" for s in SESSIONS], **backbone_inputs(options["backbone"])}


def baseline_inputs(wildcards):
    """The stores that baselines read, such as the prior."""
    names = config["encoders"]["baselines"]
    return store_inputs({store for name in names for store in required_stores(BASELINES, name, {}, "baseline")})


def baselines(sessions):
    """Session -> the store of the baselines' predictions, if any is configured."""
    return {s: f"{RESULTS}/baselines/{s}.zarr" for s in sessions} if config["encoders"]["baselines"] else {}


def combined_architectures():
    """The architectures that each combined architecture is of."""
    architectures = config["encoders"]["architectures"]
    return {arch: architectures[arch]["combined"] for arch in NAMED if "combined" in architectures[arch]}
