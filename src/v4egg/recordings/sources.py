"""Where a session's files are: what a rule declares as input, without opening anything."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from v4egg.errors import V4eggError
from v4egg.recordings.readers.cowley import published_model_files, required_files


def source_path(session: str, source: Mapping[str, Any], public_folder: str, results: str) -> str:
    """What the session's reader opens: a file, or the folder in the published layout."""
    return {
        "simulated": f"{results}/simulated/{session}.nwb",
        "nwb": source.get("file", ""),
        "cowley": public_folder,
    }[source["format"]]


def source_files(session: str, source: Mapping[str, Any], public_folder: str, results: str) -> list[str]:
    """The files that the session's reader needs."""
    if source["format"] == "cowley":
        return [str(path) for path in required_files(public_folder, session)]
    return [source_path(session, source, public_folder, results)]


def missing_public_files(sessions: Mapping[str, Mapping[str, Any]], public_folder: str, named: bool) -> dict[str, list]:
    """Per cowley session, the files that are to be downloaded; nothing is downloaded into a folder that the user named.

    Args:
        sessions: the configuration's sessions.
        public_folder: where the public layout is or will be.
        named: whether the user named that folder.

    Raises:
        V4eggError: an NWB file, the named folder, or a session's file in it is not there.
    """
    for session, source in sessions.items():
        if source["format"] == "nwb" and not Path(source["file"]).exists():
            raise V4eggError(f"sessions.{session}.file: there is no {source['file']}; correct the path")
    public = [session for session, source in sessions.items() if source["format"] == "cowley"]
    if named:
        _check_named(public, public_folder)
        return {}
    needed = {s: [*required_files(public_folder, s), *published_model_files(public_folder, s)] for s in public}
    missing = {s: [str(path) for path in paths if not path.exists()] for s, paths in needed.items()}
    return {s: paths for s, paths in missing.items() if paths}


def _check_named(sessions: list[str], public_folder: str) -> None:
    if sessions and not Path(public_folder).is_dir():
        raise V4eggError(
            f"V4EGG_DATA: there is no folder {public_folder}; name the folder that holds V4_compact_models, or unset "
            "V4EGG_DATA to download the recordings into data/"
        )
    for session in sessions:
        for path in required_files(public_folder, session):
            if not path.exists():
                raise V4eggError(
                    f"session {session}: there is no {path}; complete the folder that V4EGG_DATA names, or leave the "
                    "session out (use_sessions)"
                )


def external_judge(session: str, source: Mapping[str, Any], public_folder: str, results: str) -> dict[str, str] | None:
    """The judge from outside for a session: its simulated brain, or published models of its neurons; or none."""
    if source["format"] == "simulated":
        return {"judge": "simulated_brain", "path": f"{results}/simulated/{session}.brain.zarr"}
    if source["format"] == "cowley" and published_model_files(public_folder, session):
        return {"judge": "published_compact", "path": public_folder}
    return None


def external_judge_files(session: str, source: Mapping[str, Any], public_folder: str, results: str) -> list[str]:
    """The files of that judge."""
    found = external_judge(session, source, public_folder, results)
    if found is None:
        return []
    if found["judge"] == "simulated_brain":
        return [found["path"]]
    return [str(path) for path in published_model_files(public_folder, session)]
