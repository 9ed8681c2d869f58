"""Files of a session's recording. (Functions stand apart from rules, as Snakemake's linter asks.)"""


def source_path(session):
    """What the session's reader opens: a file, or the folder in the published layout."""
    return sources.source_path(session, config["sessions"][session], COWLEY, RESULTS)


def source_inputs(session):
    """The files that the session's reader needs; those of the user's own lie on this machine."""
    files = sources.source_files(session, config["sessions"][session], COWLEY, RESULTS)
    return [local(file) for file in files] if sources.is_own(config["sessions"][session]) else files


def image_folder(session):
    """The folder of images beside a session's NWB file, if its columns name one."""
    source = config["sessions"][session]
    named = source.get("columns", {}).get("images") if source["format"] == "nwb" else None
    return Path(source["file"]).parent / named if named else None
