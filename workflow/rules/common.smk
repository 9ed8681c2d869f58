"""Names that rules of several files use: paths, lists of sessions and architectures, inputs that they have in common."""

import re

import v4egg.recordings.sources as sources
from v4egg.registry import required_stores
from v4egg.synthesis.methods import METHODS as KNOWN_METHODS
from v4egg.workflow.configuration import expanded
from v4egg.workflow.given_files import check_given_files, files_digest, folder_digest, given_files

with one_line_errors():
    check_given_files(config)

RESULTS = f"results/{config['name']}"
DATA = os.environ.get("V4EGG_DATA", config["data"])
COWLEY = f"{DATA}/V4_compact_models"
SESSIONS = list(config["sessions"])
TEST_SESSIONS = [s for s, source in config["sessions"].items() if source["split"] != "none"]
TARGET_SESSIONS = config["targets"]["sessions"] or TEST_SESSIONS
RECONSTRUCTED_SESSIONS = [s for s in TARGET_SESSIONS if s in TEST_SESSIONS]
NAMED = list(config["encoders"]["architectures"])  # architectures, and combined architectures of them
ARCHITECTURES = [a for a in NAMED if "combined" not in config["encoders"]["architectures"][a]]
SOURCES = config["synthesis"]["architectures"] or NAMED  # those that make images; the others only judge
METHODS = list(config["synthesis"]["methods"])
MEIS = [f"{RESULTS}/mei/{method}/{arch}.zarr" for method in METHODS for arch in SOURCES]
N_MEMBERS = config["encoders"]["generators"] + config["encoders"]["validators"]
MEMBERS = [f"m{i}" for i in range(N_MEMBERS)]
ROLES = {m: "generator" if i < config["encoders"]["generators"] else "validator" for i, m in enumerate(MEMBERS)}
CONDITIONS = expanded(config["evolution"]["conditions"])
COMPACT_SESSIONS = config["compact"]["sessions"] or RECONSTRUCTED_SESSIONS
SWITCHES = {"samples": "n", "natural": "k", "meni": "energy_scales", "reconstruction": "images", "diverse": "weights"}
SWITCHES |= {"compact": "teacher", "circuits": "models", "adversarial": "models"}
STAGES = [stage for stage, key in SWITCHES.items() if config[stage][key]]  # those that the configuration switches on


wildcard_constraints:
    session="[A-Za-z][A-Za-z0-9_]*",
    arch="|".join(NAMED),
    member=r"m\d+",
    method="|".join(METHODS),
    batch=r"\d+",
    condition="|".join(map(re.escape, CONDITIONS)) or "none",
    backbone=r"\w+-\w+",
    sweep="meni|diverse",
    model_source="published|students",


def mem_mb(base):
    """Memory that doubles with each attempt."""
    return lambda wildcards, attempt: base * 2 ** (attempt - 1)


def given(path):
    """Files that the configuration names, as inputs; they are looked up on this machine, never in object storage."""
    return [local(file) for file in given_files(path)]


def batches(units=None):
    """Numbers of the batches of target units, of the first ``units`` of them if a number is given."""
    most = config["targets"]["units"]
    return range(-(-min(units or most, most) // config["synthesis"]["units_per_job"]))


def members(source, role=None):
    """The members of an architecture, or of those that it combines; all or those of a role."""
    parts = config["encoders"]["architectures"][source].get("combined", [source])
    return [f"{RESULTS}/encoders/{arch}/{m}.zarr" for arch in parts for m in MEMBERS if role in (None, ROLES[m])]


def all_members():
    """The members of every architecture."""
    return [path for arch in ARCHITECTURES for path in members(arch)]


def external_judges(sessions):
    """Session -> its external judge, where there is one."""
    judges = {s: sources.external_judge(s, config["sessions"][s], COWLEY, RESULTS) for s in sessions}
    return {s: judge for s, judge in judges.items() if judge}


def external_judge_files(sessions):
    """The files of these judges."""
    return [path for s in sessions for path in sources.external_judge_files(s, config["sessions"][s], COWLEY, RESULTS)]


def natural_responses(sessions):
    """Session -> the store of its external judge's responses to natural images."""
    return {s: f"{RESULTS}/judges/{s}.zarr" for s in external_judges(sessions)}


def made_by(stage):
    """The architectures that make the images of a stage."""
    return config[stage].get("architectures") or SOURCES


def series_stores(stage):
    """The images that a stage makes, by the architectures that make them."""
    return [f"{RESULTS}/{stage}/{arch}.zarr" for arch in made_by(stage)]


def store_inputs(names):
    """The stores of the workflow of these names, as named inputs."""
    return {name: f"{RESULTS}/{name}.zarr" for name in names}


def weight_inputs(options):
    """The files of weights that the configuration names for an image generator, as a named input."""
    weights = given(options.get("image_generator", {}).get("weights"))
    return {"weights": weights} if weights else {}


def method_inputs(method):
    """What a method of synthesis reads: stores of the workflow, such as the prior, and weights."""
    options = config["synthesis"]["methods"][method]
    return store_inputs(required_stores(KNOWN_METHODS, method, options, "method")) | weight_inputs(options)
