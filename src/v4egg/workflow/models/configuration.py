"""The whole configuration as one typed model."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from v4egg.registry import Choice, NameIn, Options, Strings
from v4egg.workflow.models import compact as compact_models
from v4egg.workflow.models import encoders as encoder_models
from v4egg.workflow.models import evolution as evolution_models
from v4egg.workflow.models import recordings
from v4egg.workflow.models import synthesis as synthesis_models

UNIQUE: dict[str, Any] = {"uniqueItems": True}
ABSENT: dict[str, Any] = {"x-absent": True}  # has no default: a key that is not given is not there


class Session(Options):
    """A recording: what all readers share, beside the options of its reader."""

    model_config = ConfigDict(
        json_schema_extra={"x-siblings": {"registry": "v4egg.recordings.readers:READERS", "key": "format"}}
    )
    format: Annotated[str, NameIn("v4egg.recordings.readers:READERS")] = Field(description="The reader.")
    split: Literal["none", "halves", "repeated"] = Field(
        "none",
        description="Test images. halves: the second half of the images; repeated: images shown at least min_repeats "
        "times; none: all images fit.",
    )
    min_repeats: int | None = Field(
        None,
        ge=2,
        description="Presentations that make an image a test image (split repeated).",
        json_schema_extra=ABSENT,
    )
    judge: Annotated[
        dict[str, Any] | None, Choice("v4egg.evaluation.external_judges:EXTERNAL_JUDGES", "external judge")
    ] = Field(
        None,
        description="The external judge of the session's units, by default that of its reader: the simulated brain "
        "(simulated), or the published compact models (cowley).",
        json_schema_extra=ABSENT,
    )


class Architecture(Options):
    """A core and a readout, the refit of another architecture, or a combination of others."""

    combined: Strings | None = Field(
        None,
        min_length=2,
        description="Names of other architectures, instead of core and readout. Each weighs the same.",
        json_schema_extra=ABSENT | UNIQUE,
    )
    refit: str | None = Field(
        None,
        description="Name of another architecture, with an attention readout and loss mse, instead of core and "
        "readout: its members, with each unit's weights fitted anew in closed form, by ridge regression on what its "
        "attention reads.",
        json_schema_extra=ABSENT,
    )
    core: Annotated[dict[str, Any] | None, Choice("v4egg.encoders.registry:CORES", "core")] = Field(
        None, description="The core: from images to a feature map that all units share.", json_schema_extra=ABSENT
    )
    readout: Annotated[dict[str, Any] | None, Choice("v4egg.encoders.registry:READOUTS", "readout")] = Field(
        None, description="The readout: from the feature map to the response of each unit.", json_schema_extra=ABSENT
    )
    core_groups: dict[str, Strings] | None = Field(
        None,
        description="Sessions, by name of their group, that share a core of their own, such as those of one animal; "
        "sessions in none are the group others. Not given: one core for all.",
        json_schema_extra=ABSENT
        | {
            "minProperties": 1,
            "propertyNames": {"pattern": "^[A-Za-z][A-Za-z0-9_-]*$"},
            "additionalProperties": {"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True},
        },
    )
    size: int | None = Field(
        None,
        ge=8,
        description="Pixels per side at which the network sees images, where that is not images.size.",
        json_schema_extra=ABSENT,
    )
    training: dict[str, Any] | None = Field(
        None,
        description="Keys of encoders.training with other values for this architecture.",
        json_schema_extra=ABSENT | {"x-without-defaults": "v4egg.workflow.models.encoders:Training"},
    )


class Encoders(Options):
    """The encoding models: ensembles of each architecture."""

    generators: int = Field(2, ge=1, description="Members that make images.")
    validators: int = Field(1, ge=1, description="Members that do not.")
    architectures: dict[str, Architecture] = Field(
        description="The architectures that are compared, by name. Those given here stand beside the two defaults; one "
        "of the same name replaces a default as a whole, and null removes it. use_architectures chooses among all.",
        json_schema_extra={
            "minProperties": 1,
            "propertyNames": {"pattern": "^[A-Za-z][A-Za-z0-9_-]*$"},
            "default": {
                "attention": {"core": {"name": "residual"}, "readout": {"name": "attention"}},
                "gaussian": {
                    "core": {"name": "residual"},
                    "readout": {"name": "gaussian", "init_mu_range": 0.2, "sigma": 0.2},
                },
            },
        },
    )
    use_architectures: Strings = Field((), description="The architectures to use; empty: all. Lets an overlay choose.")
    baselines: tuple[Annotated[str, NameIn("v4egg.encoders.registry:BASELINES")], ...] = Field(
        ("ridge", "ln", "shuffled"),
        description="Simpler models in the same table; empty: none.",
        json_schema_extra=UNIQUE,
    )
    training: encoder_models.Training = encoder_models.Training()


class Synthesis(Options):
    """Most exciting images."""

    architectures: Strings = Field(
        (),
        description="Architectures, and combined ones, that make images; the others in use only judge. Empty: all.",
        json_schema_extra=UNIQUE,
    )
    samples: int = Field(1, ge=1, description="Images per unit and method.")
    units_per_job: int = Field(24, ge=1, description="Units of one batch.")
    methods: dict[str, Any] = Field(
        description="The methods that make images, by name.",
        json_schema_extra={
            "x-entries": "v4egg.synthesis.methods:METHODS",
            "minProperties": 1,
            "default": {"gradient_ascent": {}, "energy_guided": {}},
        },
    )


class Configuration(Options):
    """v4egg configuration: every key, its default and its meaning."""

    model_config = ConfigDict(json_schema_extra={"x-sections": "v4egg.synthesis.methods:SWEEPS"})
    name: str = Field(pattern="^[A-Za-z0-9_-]+$", description="Results go to results/<name>.")
    seed: int = Field(1, description="Everything random follows from it.")
    data: str = Field(
        "data",
        description="Folder that holds V4_compact_models; the environment variable V4EGG_DATA overrides it.",
    )
    sessions: dict[str, Session] = Field(
        description="The recordings, by session id such as s190923.",
        json_schema_extra={"minProperties": 1, "propertyNames": {"pattern": "^[A-Za-z][A-Za-z0-9_]*$"}},
    )
    use_sessions: Strings = Field((), description="The sessions to use; empty: all. Lets an overlay run a part.")
    images: recordings.Images = recordings.Images()
    responses: recordings.Responses = recordings.Responses()
    prior: recordings.Prior = recordings.Prior()
    decoder: recordings.Decoder = recordings.Decoder()
    encoders: Encoders = Field(default_factory=lambda: Encoders(architectures={}))
    targets: encoder_models.Targets = encoder_models.Targets()
    synthesis: Synthesis = Field(default_factory=lambda: Synthesis(methods={}))
    evolution: evolution_models.Evolution = evolution_models.Evolution()
    closed_loop: synthesis_models.ClosedLoop = synthesis_models.ClosedLoop()
    natural: synthesis_models.Natural = synthesis_models.Natural()
    reconstruction: synthesis_models.Reconstruction = synthesis_models.Reconstruction()
    samples: synthesis_models.Samples = synthesis_models.Samples()
    compact: compact_models.Compact = compact_models.Compact()
    circuits: compact_models.Circuits = compact_models.Circuits()
    adversarial: compact_models.Adversarial = compact_models.Adversarial()
    gallery: synthesis_models.Gallery = synthesis_models.Gallery()
