"""The teacher of compact models, and the models themselves: our students, or the published ones."""


def teaching_members():
    """The members of the ensemble that compact models are distilled from."""
    role = config["compact"]["role"]
    return members(config["compact"]["teacher"], None if role == "all" else role) if "compact" in STAGES else []


def teachers():
    """The architectures that students learn from."""
    teacher = config["compact"]["teacher"]
    return config["encoders"]["architectures"].get(teacher, {}).get("combined", [teacher] if teacher else [])


def compact_options(*keys):
    """Options of the compact models by their names."""
    return {key: config["compact"][key] for key in keys}


def compact_sessions(model_source):
    """The sessions that have compact models of that origin, of those that get them or images."""
    if model_source == "students":
        return COMPACT_SESSIONS
    judges = external_judges(TARGET_SESSIONS)
    return [s for s in TARGET_SESSIONS if judges.get(s, {}).get("judge") == "published_compact"]


def compact_path(model_source, session):
    """Where the compact models of a session are: the published folder, or the students' store."""
    return COWLEY if model_source == "published" else f"{RESULTS}/compact/{session}.zarr"


def compact_files(model_source, session):
    """The files that these models are read from."""
    if model_source == "published":
        return external_judge_files([session])
    return [compact_path(model_source, session)]


def compact_judged():
    """The architectures that score the images of compact models."""
    chosen = config["adversarial"]["architectures"]
    return ARCHITECTURES if chosen is None else chosen


def compact_judges(session):
    """The files of who scores the images of a session's compact models, beside these themselves."""
    judging = [path for arch in compact_judged() for path in members(arch)]
    return {"members": judging, "external_judges": external_judge_files([session])}


def analysed(stage):
    """The sets of compact models that a stage is about, one for each session that has them: <source>-<session>."""
    return [f"{m}-{s}" for m in config[stage]["models"] for s in compact_sessions(m)]
