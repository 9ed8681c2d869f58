"""Paths, resources and target lists. No science."""

import v4egg.recordings.sources as sources
from v4egg.provenance import code_digest

RESULTS = f"results/{config['name']}"
DATA = os.environ.get("V4EGG_DATA", config["data"])
COWLEY = f"{DATA}/V4_compact_models"
SESSIONS = list(config["sessions"])
TEST_SESSIONS = [s for s, source in config["sessions"].items() if source["split"] != "none"]
TARGET_SESSIONS = config["targets"]["sessions"] or TEST_SESSIONS
ARCHITECTURES = list(config["encoders"]["architectures"])
METHODS = list(config["synthesis"]["methods"])
N_MEMBERS = config["encoders"]["generators"] + config["encoders"]["validators"]
MEMBERS = [f"m{i}" for i in range(N_MEMBERS)]
ROLES = {m: "generator" if i < config["encoders"]["generators"] else "validator" for i, m in enumerate(MEMBERS)}
BATCHES = range(-(-config["targets"]["units"] // config["synthesis"]["units_per_job"]))
FIGURES = ["encoder_scores", "mei_gallery", "transfer_scatter", "compute_time"]
ENVIRONMENT = "../../envs/v4egg.yaml"


wildcard_constraints:
    session="[A-Za-z][A-Za-z0-9_]*",
    arch="|".join(ARCHITECTURES),
    member=r"m\d+",
    method="|".join(METHODS),
    batch=r"\d+",


def code(script):
    """Digest of a rule's script and of all package code that it reaches: changed imports rerun the rule."""
    return code_digest(f"{workflow.basedir}/workflow/scripts/{script}.py")


def mem_mb(base):
    """Memory that doubles with each attempt."""
    return lambda wildcards, attempt: base * 2 ** (attempt - 1)


def members(arch, role=None):
    return [f"{RESULTS}/encoders/{arch}/{m}.zarr" for m in MEMBERS if role in (None, ROLES[m])]


def outsiders(sessions):
    """Session -> the judge from outside that knows its neurons, where there is one."""
    found = {s: sources.outsider(s, config["sessions"][s], COWLEY, RESULTS) for s in sessions}
    return {s: source for s, source in found.items() if source}


def outsider_files(sessions):
    return [path for s in sessions for path in sources.outsider_files(s, config["sessions"][s], COWLEY, RESULTS)]


def natural_responses(sessions):
    """Session -> the store of that judge's responses to its natural images."""
    return {s: f"{RESULTS}/judges/{s}.zarr" for s in outsiders(sessions)}


def prior_of(wildcards):
    """The prior, for the method that needs it."""
    return {"prior": f"{RESULTS}/prior.zarr"} if wildcards.method == "energy_guided" else {}


def figure_inputs(figure):
    """The stores that a figure reads."""
    meis = [f"{RESULTS}/mei/{method}/{arch}.zarr" for method in METHODS for arch in ARCHITECTURES]
    stores = {
        "encoder_scores": {"scores": f"{RESULTS}/encoders/scores.zarr"},
        "mei_gallery": {"transfer": f"{RESULTS}/transfer.zarr", "meis": meis},
        "transfer_scatter": {"transfer": f"{RESULTS}/transfer.zarr"},
        "compute_time": {"meis": meis},
    }
    return stores[figure]


def show_summary():
    """The closing table in the terminal."""
    from v4egg.summary import table

    path = Path(f"{RESULTS}/summary.json")
    if path.exists():
        print(table(json.loads(path.read_text())))
