"""Files of a session's recording. (Functions stand apart from rules, as Snakemake's linter asks.)"""


def source_path(session):
    """What the session's reader opens: a file, or the folder in the published layout."""
    return sources.source_path(session, config["sessions"][session], COWLEY, RESULTS)


def source_inputs(session):
    """The files that the session's reader needs; those of the user's own lie on this machine."""
    files = sources.source_files(session, config["sessions"][session], COWLEY, RESULTS)
    return [local(file) for file in files] if sources.is_own(config["sessions"][session]) else files


def source_digests(session):
    """Digests of folders and of many files that the session's reader reads beside these files."""
    which = (session, config["sessions"][session], COWLEY, RESULTS)
    folders = [folder_digest(folder) for folder in sources.source_folders(*which)]
    return [*folders, files_digest(sources.source_attachments(*which))]
