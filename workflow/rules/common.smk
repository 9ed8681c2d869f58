"""Paths, resources and target lists. No science."""

import re

import v4egg.recordings.sources as sources
from v4egg.encoders.registry import BACKBONES, BASELINES
from v4egg.registry import required_stores
from v4egg.synthesis.methods import METHODS as KNOWN_METHODS
from v4egg.workflow.configuration import expanded
from v4egg.xdream.generators import IMAGE_GENERATORS
from v4egg.workflow.provenance import code_digest, configuration_digest

RESULTS = f"results/{config['name']}"
DATA = os.environ.get("V4EGG_DATA", config["data"])
COWLEY = f"{DATA}/V4_compact_models"
SESSIONS = list(config["sessions"])
TEST_SESSIONS = [s for s, source in config["sessions"].items() if source["split"] != "none"]
TARGET_SESSIONS = config["targets"]["sessions"] or TEST_SESSIONS
RECONSTRUCTED_SESSIONS = [s for s in TARGET_SESSIONS if s in TEST_SESSIONS]
NAMED = list(config["encoders"]["architectures"])  # architectures, and combined architectures of them
ARCHITECTURES = [a for a in NAMED if "combined" not in config["encoders"]["architectures"][a]]
REFITTED = {a: entry["refit"] for a, entry in config["encoders"]["architectures"].items() if "refit" in entry}
SOURCES = config["synthesis"]["architectures"] or NAMED  # those that make images; the others only judge
METHODS = list(config["synthesis"]["methods"])
N_MEMBERS = config["encoders"]["generators"] + config["encoders"]["validators"]
MEMBERS = [f"m{i}" for i in range(N_MEMBERS)]
ROLES = {m: "generator" if i < config["encoders"]["generators"] else "validator" for i, m in enumerate(MEMBERS)}
SIMULATED_TARGETS = [s for s in TARGET_SESSIONS if config["sessions"][s]["format"] == "simulated"]
LOOP_SESSIONS = SIMULATED_TARGETS if config["closed_loop"]["rounds"] else []
CONDITIONS = expanded(config["evolution"]["conditions"])
VARIED = [c for c, options in CONDITIONS.items() if "swept" in options]
COMPACT_SESSIONS = config["compact"]["sessions"] or RECONSTRUCTED_SESSIONS
SWITCHES = {"samples": "n", "natural": "k", "meni": "energy_scales", "reconstruction": "images", "diverse": "weights"}
SWITCHES |= {"compact": "teacher", "circuits": "models", "adversarial": "models"}
STAGES = [stage for stage, key in SWITCHES.items() if config[stage][key]]  # those that a configuration switches on


wildcard_constraints:
    session="[A-Za-z][A-Za-z0-9_]*",
    arch="|".join(NAMED),
    member=r"m\d+",
    method="|".join(METHODS),
    batch=r"\d+",
    condition="|".join(map(re.escape, CONDITIONS)) or "none",
    backbone=r"\w+-\w+",
    family="meni|diverse",
    models="published|students",


def environment(family):
    """The conda environment of a family of rules; each rules file names its own."""
    return f"../../envs/{family}.yaml"


def code(script):
    """Digest of a rule's script and of all package code that it reaches: changed imports rerun the rule."""
    return code_digest(HOME / f"workflow/scripts/{script}.py")


def batches(units=None):
    """Numbers of the batches of target units, of the first ``units`` of them if a number is given."""
    most = config["targets"]["units"]
    return range(-(-min(units or most, most) // config["synthesis"]["units_per_job"]))


def mem_mb(base):
    """Memory that doubles with each attempt."""
    return lambda wildcards, attempt: base * 2 ** (attempt - 1)


def batch_stop(batch):
    """Rank of the unit after a batch's last."""
    return min(config["targets"]["units"], (int(batch) + 1) * config["synthesis"]["units_per_job"])


def members(source, role=None):
    parts = config["encoders"]["architectures"][source].get("combined", [source])
    return [f"{RESULTS}/encoders/{arch}/{m}.zarr" for arch in parts for m in MEMBERS if role in (None, ROLES[m])]


def external_judges(sessions):
    """Session -> the judge from outside that knows its neurons, where there is one."""
    found = {s: sources.external_judge(s, config["sessions"][s], COWLEY, RESULTS) for s in sessions}
    return {s: source for s, source in found.items() if source}


def external_judge_files(sessions):
    return [path for s in sessions for path in sources.external_judge_files(s, config["sessions"][s], COWLEY, RESULTS)]


def combined_architectures():
    """The architectures that each combined architecture is of."""
    named = config["encoders"]["architectures"]
    return {arch: named[arch]["combined"] for arch in NAMED if "combined" in named[arch]}


def trained_as(arch):
    """The architecture itself, or the one that it refits."""
    return config["encoders"]["architectures"][REFITTED.get(arch, arch)]


def training_options(arch):
    """How an architecture is trained: the common options, and those that are its own."""
    own = trained_as(arch).get("training", {})
    return {**config["images"], **config["encoders"]["training"], **own}


def frozen_options(arch):
    """What decides the features of an architecture's frozen network; None where it has none."""
    architecture = trained_as(arch)
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


def prior_of_backbone(backbone):
    """The stores that a frozen network reads: the prior, for the one that is its network."""
    return store_inputs(required_stores(BACKBONES, backbone["name"], backbone, "backbone"))


def frozen_inputs(arch):
    """Frozen features of all sessions, and the prior, as far as an architecture needs them."""
    options = frozen_options(arch)
    if options is None:
        return {}
    folder = f"{RESULTS}/features/{frozen_key(options)}"
    return {"features": [f"{folder}/{s}.zarr" for s in SESSIONS], **prior_of_backbone(options["backbone"])}


def natural_responses(sessions):
    """Session -> the store of that judge's responses to its natural images."""
    return {s: f"{RESULTS}/judges/{s}.zarr" for s in external_judges(sessions)}


def baselines(sessions):
    """Session -> the store of the baselines' predictions, if any is configured."""
    return {s: f"{RESULTS}/baselines/{s}.zarr" for s in sessions} if config["encoders"]["baselines"] else {}


def prior_of_baselines(wildcards):
    """The prior, if a baseline reads its activations."""
    names = config["encoders"]["baselines"]
    return store_inputs({store for name in names for store in required_stores(BASELINES, name, {}, "baseline")})


def loop_architecture():
    """Whose generators close the loop: frozen features are of a session's own images, so a network without them."""
    data_driven = [arch for arch in ARCHITECTURES if frozen_options(arch) is None]
    return config["closed_loop"]["architecture"] or data_driven[0]


def teaching_members():
    """The members of the ensemble that compact models are distilled from."""
    role = config["compact"]["role"]
    return members(config["compact"]["teacher"], None if role == "all" else role) if "compact" in STAGES else []


def compact_options(*keys):
    """Options of the compact models by their names."""
    return {key: config["compact"][key] for key in keys}


def compact_sessions(models):
    """The sessions that have compact models of that origin, of those that get them or images."""
    if models == "students":
        return COMPACT_SESSIONS
    known = external_judges(TARGET_SESSIONS)
    return [s for s in TARGET_SESSIONS if known.get(s, {}).get("judge") == "published_compact"]


def compact_path(models, session):
    """Where the compact models of a session are: the published folder, or the students' store."""
    return COWLEY if models == "published" else f"{RESULTS}/compact/{session}.zarr"


def compact_files(models, session):
    """The files that these models are read from."""
    return external_judge_files([session]) if models == "published" else [compact_path(models, session)]


def compact_judged():
    """The architectures that score the images of compact models."""
    chosen = config["adversarial"]["architectures"]
    return ARCHITECTURES if chosen is None else chosen


def compact_judges(session):
    """The files of who scores the images of a session's compact models, beside these themselves."""
    judging = [path for arch in compact_judged() for path in members(arch)]
    return {"members": judging, "external_judges": external_judge_files([session])}


def analysed(stage):
    """The sets of compact models that a stage is about, one for each session that has them: <models>-<session>."""
    return [f"{m}-{s}" for m in config[stage]["models"] for s in compact_sessions(m)]


def teachers():
    """The architectures that students learn from."""
    teacher = config["compact"]["teacher"]
    return config["encoders"]["architectures"].get(teacher, {}).get("combined", [teacher] if teacher else [])


def made_by(stage):
    """The architectures that make the images of a stage."""
    return config[stage].get("architectures") or SOURCES


def series_stores(family):
    """The images of a family, by the architectures that make them."""
    return [f"{RESULTS}/{family}/{arch}.zarr" for arch in made_by(family)]


def store_inputs(names):
    """The stores of the workflow of these names, as named inputs."""
    return {name: f"{RESULTS}/{name}.zarr" for name in names}


def method_inputs(method):
    """The stores that a method of synthesis reads, such as the prior."""
    return store_inputs(required_stores(KNOWN_METHODS, method, config["synthesis"]["methods"][method], "method"))


def evolution_inputs(condition):
    """The files of the neurons and of the image generator of a condition of the evolution experiment."""
    options = CONDITIONS[condition]
    generator = options["generator"]
    found = store_inputs(required_stores(IMAGE_GENERATORS, generator["name"], generator, "image generator"))
    if options["neurons"] == "external":
        known = list(natural_responses(TARGET_SESSIONS).values())
        return {**found, "external_judges": external_judge_files(TARGET_SESSIONS), "natural_responses": known}
    if options["neurons"] == "encoder":
        found["targets"] = f"{RESULTS}/targets.zarr"
    return {**found, "members": members(options["arch"] or SOURCES[0], "generator")}


def compared_settings():
    """The conditions from which a setting departs, and those departures."""
    bases = {CONDITIONS[condition]["swept"]["condition"] for condition in VARIED}
    return [condition for condition in CONDITIONS if condition in bases or condition in VARIED]


def show_summary():
    """The closing table in the terminal."""
    from v4egg.workflow.summary_table import table

    path = Path(f"{RESULTS}/summary.json")
    if path.exists():
        print(table(json.loads(path.read_text())))
