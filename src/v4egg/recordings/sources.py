"""Where the files of sessions and of their judges are: what rules declare as inputs, without opening anything.

Each reader and each external judge has a source (``Entry.source``), by default :class:`OwnFile`. Planning a run imports
sources and neither readers nor judges.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from v4egg.errors import V4eggError
from v4egg.io.files import where_paths_start
from v4egg.recordings.readers import READERS, reader_options
from v4egg.recordings.readers.nwb_external import external_files
from v4egg.registry import entry_of, load

OWN_FILE = "v4egg.recordings.sources:OwnFile"
JUDGES = "v4egg.evaluation.external_judges:EXTERNAL_JUDGES"


@dataclass(frozen=True)
class Source(ABC):
    """The files of one session for its reader, or for a judge of its units.

    Attributes:
        session: the session's id.
        options: of the reader or the judge.
        public_folder: where the published recordings are or will be.
        results: folder of the run.
        own: whether the files are the user's own, and lie on this machine wherever results are stored.
        key: of its entry in the configuration, for errors; by default that of the session.
    """

    own: ClassVar[bool] = False
    session: str
    options: Mapping[str, Any] = field(default_factory=dict)
    public_folder: str = ""
    results: str = ""
    key: str = ""

    @property
    @abstractmethod
    def path(self) -> str:
        """What is opened: a file or a folder."""

    def files(self) -> list[str]:
        """The files that are read."""
        return [self.path]

    def folders(self) -> list[str]:
        """Folders of which all files may be read, too many to name each; the digests of their contents are params."""
        return []

    def attachments(self) -> list[str]:
        """Files that may be read too, too many to be inputs each; the digest of their contents is a param."""
        return []

    def missing(self) -> list[str]:
        """Files that a rule of the workflow downloads."""
        return []

    def statement(self) -> str:
        """What is said of the download before it starts: its size, origin and licence."""
        return ""

    def expected(self) -> dict[str, str]:
        """By path, the SHA-256 of files that the workflow downloads where they are missing."""
        return {}

    def check(self, named: bool) -> None:  # noqa: B027 - most files are made by the workflow
        """Refuse files that are neither there nor made by the workflow.

        Args:
            named: whether the user named the folder of published recordings; then nothing is downloaded into it.

        Raises:
            V4eggError: a file is not there.
        """

    def counts_spikes(self) -> bool:
        """Whether the session's responses are counts of spikes, which some losses need."""
        return True

    def external_judge(self) -> str | None:
        """The judge of the session's units where the configuration names none, by name."""
        return None


class OwnFile(Source):
    """Files of the user's own, of which the option ``file`` names the one that is opened."""

    own = True

    @property
    def path(self) -> str:
        """The file."""
        return str(self.options["file"])

    def check(self, named: bool) -> None:
        """Refuse files and folders that are not there, by the option that names them."""
        key = self.key or f"sessions.{self.session}"
        options = {str(path): f"{key}.{option}" for option, path in self.options.items()}
        for path in [self.path, *self.files(), *self.folders()]:
            if not Path(path).exists():
                raise V4eggError(f"{options.get(path, key)}: there is no {path}; {where_paths_start(path)}")


class NwbFile(OwnFile):
    """An NWB file of the user's own, which may have a folder of images beside it."""

    def folders(self) -> list[str]:
        """The folder that ``columns.images`` names, if it is one."""
        named = (self.options.get("columns") or {}).get("images")
        folder = Path(self.path).parent / named if isinstance(named, str) else None
        return [str(folder)] if folder and folder.is_dir() else []

    def attachments(self) -> list[str]:
        """The image files that series of images in the file refer to, by their path from its folder."""
        names = external_files(Path(self.path))
        return [str(Path(self.path).parent / name.replace("\\", "/")) for name in names]


class SimulatedFile(Source):
    """The NWB file that the workflow simulates."""

    @property
    def path(self) -> str:
        """The file."""
        return f"{self.results}/simulated/{self.session}.nwb"

    def external_judge(self) -> str:
        """The brain that was simulated."""
        return "simulated_brain"


class SimulatedBrainStore(Source):
    """The store of the brain that the workflow simulates."""

    @property
    def path(self) -> str:
        """The store."""
        return f"{self.results}/simulated/{self.session}.brain.zarr"


def source_of(session: str, entry: Mapping[str, Any], public_folder: str, results: str) -> Source:
    """The source of a session, from its entry under ``sessions`` in the configuration."""
    reader = entry_of(READERS, entry["format"], f"sessions.{session}.format")
    source = load(reader.source or OWN_FILE)
    found: Source = source(session, reader_options(entry), public_folder, results, f"sessions.{session}")
    return found


def is_own(entry: Mapping[str, Any]) -> bool:
    """Whether the files of a session are the user's own, from its entry under ``sessions``."""
    return bool(load(READERS[entry["format"]].source or OWN_FILE).own)


def source_path(session: str, entry: Mapping[str, Any], public_folder: str, results: str) -> str:
    """What the session's reader opens: a file, or the folder in the published layout."""
    return source_of(session, entry, public_folder, results).path


def source_files(session: str, entry: Mapping[str, Any], public_folder: str, results: str) -> list[str]:
    """The files that the session's reader needs."""
    return source_of(session, entry, public_folder, results).files()


def source_folders(session: str, entry: Mapping[str, Any], public_folder: str, results: str) -> list[str]:
    """The folders that the session's reader needs beside these files."""
    return source_of(session, entry, public_folder, results).folders()


def expected_digests(
    sessions: Mapping[str, Mapping[str, Any]], public_folder: str, results: str = ""
) -> dict[str, str]:
    """By path, the SHA-256 of files of sessions and their judges that the workflow downloads where they are missing."""
    found: dict[str, str] = {}
    for session, entry in sessions.items():
        found |= source_of(session, entry, public_folder, results).expected()
        judge = _judge(session, entry, public_folder, results)
        found |= judge[1].expected() if judge else {}
    return found


def source_attachments(session: str, entry: Mapping[str, Any], public_folder: str, results: str) -> list[str]:
    """Many files that belong to those of the session's reader."""
    return source_of(session, entry, public_folder, results).attachments()


def missing_public_files(
    sessions: Mapping[str, Mapping[str, Any]], public_folder: str, named: bool
) -> dict[str, list[str]]:
    """By session, the files that are to be downloaded; nothing is downloaded into a folder that the user named.

    Args:
        sessions: the configuration's sessions.
        public_folder: where the public layout is or will be.
        named: whether the user named that folder.

    Raises:
        V4eggError: a file of one's own, the named folder, or a session's file in it is not there.
    """
    sources = {session: source_of(session, entry, public_folder, "") for session, entry in sessions.items()}
    for session, source in sources.items():
        source.check(named)
        judge = _judge(session, sessions[session], public_folder, "")
        if judge is not None:
            judge[1].check(named)
    missing = {} if named else {session: source.missing() for session, source in sources.items()}
    return {session: paths for session, paths in missing.items() if paths}


def download_statements(sessions: Mapping[str, Mapping[str, Any]], public_folder: str) -> dict[str, str]:
    """By session, what is said of its download before it starts.

    Raises:
        V4eggError: a session has no download.
    """
    return {session: source_of(session, entry, public_folder, "").statement() for session, entry in sessions.items()}


def _judge(session: str, entry: Mapping[str, Any], public_folder: str, results: str) -> tuple[str, Source] | None:
    """Name and source of the external judge of a session, if it has one."""
    judge = entry.get("judge") or {"name": source_of(session, entry, public_folder, results).external_judge()}
    if judge["name"] is None:
        return None
    options = {key: value for key, value in judge.items() if key != "name"}
    found = entry_of(load(JUDGES), judge["name"], f"sessions.{session}.judge.name")
    source = load(found.source or OWN_FILE)
    return judge["name"], source(session, options, public_folder, results, f"sessions.{session}.judge")


def external_judge(session: str, entry: Mapping[str, Any], public_folder: str, results: str) -> dict[str, Any] | None:
    """The external judge of a session: the one that the configuration names, else its reader's; None if there is none.

    Returns:
        ``judge`` (its name), ``path`` (what it opens), and ``options`` where there are any.
    """
    found = _judge(session, entry, public_folder, results)
    if found is None:
        return None
    name, source = found
    options = {"options": dict(source.options)} if source.options else {}
    return {"judge": name, "path": source.path, **options}


def external_judge_files(session: str, entry: Mapping[str, Any], public_folder: str, results: str) -> list[str]:
    """The files of that judge."""
    found = _judge(session, entry, public_folder, results)
    return found[1].files() if found else []
