"""Cores, readouts, frozen networks and baselines by name, without their code."""

from v4egg.registry import Entry, Registry

CORES: Registry = {
    "residual": Entry("v4egg.encoders.cores:ResidualOptions"),
    "depth_separable": Entry("v4egg.encoders.cores:DepthSeparableOptions"),
    "task_driven": Entry(
        "v4egg.encoders.cores:TaskDrivenOptions",
        colour="#56B4E9",
        parts={"backbone": "v4egg.encoders.registry:BACKBONES"},
    ),
}

READOUTS: Registry = {
    "attention": Entry("v4egg.encoders.readouts:AttentionOptions", colour="#CC79A7"),
    "factorized": Entry("v4egg.encoders.readouts:FactorizedOptions", colour="#E69F00"),
    "gaussian": Entry("v4egg.encoders.readouts:GaussianOptions", colour="#E69F00"),
}

BACKBONES: Registry = {
    "efficientnet_lite0": Entry("v4egg.encoders.backbones:EfficientNetLite0Options"),
    "efficientnet_lite1": Entry("v4egg.encoders.backbones:EfficientNetLite1Options"),
    "efficientnet_lite2": Entry("v4egg.encoders.backbones:EfficientNetLite2Options"),
    "timm": Entry("v4egg.encoders.backbones:TimmOptions"),
    "denoiser": Entry("v4egg.encoders.backbones:DenoiserOptions", required_stores=("prior",)),
}

BASELINES: Registry = {
    "ridge": Entry("v4egg.encoders.baselines:RidgeBaseline", required_stores=("prior",)),
    "ln": Entry("v4egg.encoders.baselines:LinearNonlinearBaseline", label="LN"),
    "shuffled": Entry("v4egg.encoders.baselines:ShuffledBaseline", required_stores=("prior",)),
}
