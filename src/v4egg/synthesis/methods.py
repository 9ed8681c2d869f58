"""The methods of synthesis and the sweeps by name: what they read and how figures show them, without their code."""

from v4egg.registry import Entry, Registry

METHODS: Registry = {
    "gradient_ascent": Entry(
        "v4egg.synthesis.gradient_ascent:GradientAscent", label="gradient ascent", colour="#D55E00"
    ),
    "energy_guided": Entry(
        "v4egg.synthesis.energy_guided:EnergyGuided",
        label="energy-guided",
        colour="#0072B2",
        required_stores=("prior",),
    ),
    "evolution": Entry(
        "v4egg.xdream.evolved:Evolved",
        label="evolution",
        colour="#8C6D00",
        parts={"image_generator": "v4egg.xdream.generators:IMAGE_GENERATORS"},
    ),
}

SWEEPS: Registry = {
    "meni": Entry("v4egg.synthesis.meni:Naturalistic", label="MENIs", required_stores=("prior",)),
    "diverse": Entry(
        "v4egg.synthesis.diverse_images:DiverseImages", label="diverse images", required_stores=("prior",)
    ),
}
