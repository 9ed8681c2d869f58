"""Downloads that go on where they ended, checked by SHA-256.

A file appears under its name only once it is complete and has the expected digest. Until then it lies beside its place,
in a file whose name ends in ``.part``, which the next attempt completes.
"""

import errno
import fcntl
import http.client
import re
import shutil
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.request import Request

from tqdm import tqdm

from v4egg.errors import V4eggError
from v4egg.io.files import sha256_of, to_disk
from v4egg.recordings.readers import cowley

Opener = Callable[[Request], IO[bytes]]

_BLOCK_BYTES = 2**18
_TIMEOUT_S = 60
_ATTEMPTS = 4  # in a row that bring nothing new
_PAUSE_S = 1.0  # before the second attempt, twice as long before each further one
_SPARE_BYTES = 2**26  # that a download leaves on the disk
_TRY_LATER = (408, 425, 429, 500, 502, 503, 504)
_NO_NETWORK = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN)
_BROKEN_CONNECTION = (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException)


@dataclass(frozen=True)
class Download:
    """A file to download.

    Attributes:
        url: http, https or file address.
        path: where it will be.
        sha256: expected digest, 64 hexadecimal digits.
        size: its size in bytes; None if it is not known before.
    """

    url: str
    path: Path
    sha256: str
    size: int | None = None

    @property
    def partial(self) -> Path:
        """Where it lies until it is complete; the name contains the digest, so that versions do not mix."""
        return self.path.with_name(f".{self.path.name}.{self.sha256[:12].lower()}.part")

    @property
    def validator(self) -> Path:
        """Beside the partial file, what tells the server which version of the file that is."""
        return self.partial.with_suffix(".version")

    def is_here(self) -> bool:
        """Whether the file is complete and right."""
        return self.path.is_file() and sha256_of(self.path) == self.sha256.lower()

    def missing_bytes(self) -> int:
        """How much is still to be downloaded, 0 if its size is not known."""
        received = self.partial.stat().st_size if self.partial.exists() else 0
        return max(0, (self.size or 0) - received)


class _Interrupted(Exception):
    """The connection ended early; what arrived is kept."""


class _Worthless(Exception):
    """What arrived is no beginning of the file."""


def open_url(request: Request) -> IO[bytes]:
    """Open an address for reading; the attempt ends when the server sends nothing for a minute."""
    response: IO[bytes] = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    return response


def fetch(url: str, path: str | Path, sha256: str, *, size: int | None = None, opener: Opener = open_url) -> None:
    """Download a file, unless it exists already with the expected digest.

    A connection that ends early is tried again, from where it ended if the server can, and so is the next call.

    Args:
        url: http, https or file address.
        path: target; its folders are created. The file changes only once the complete download has the expected digest.
        sha256: expected digest, 64 hexadecimal digits.
        size: its size in bytes, if it is known.
        opener: returns a readable response for a request; ``headers`` and ``status`` are used where it has them.

    Raises:
        V4eggError: the server refuses or cannot be reached, the download ends early, its digest differs, the disk has
            no room, or the file cannot be written.

    Example:
        >>> import hashlib, io, tempfile
        >>> path = Path(tempfile.mkdtemp()) / "data.txt"
        >>> digest = hashlib.sha256(b"spikes").hexdigest()
        >>> fetch("https://example.org/data.txt", path, digest, opener=lambda request: io.BytesIO(b"spikes"))
        >>> path.read_text()
        'spikes'
    """
    fetch_all([Download(url, Path(path), sha256, size)], opener=opener)


def fetch_all(downloads: Sequence[Download], *, label: str = "", opener: Opener = open_url) -> None:
    """Download several files; none appears under its name before all are complete.

    So nothing that is complete is lost where a workflow removes the outputs of a job that failed.

    Args:
        downloads: the files.
        label: of the progress bar.
        opener: see :func:`fetch`.

    Raises:
        V4eggError: see :func:`fetch`.
    """
    wanted = [download for download in downloads if not download.is_here()]
    _check_room(wanted)
    for download in tqdm(wanted, desc=label, unit="file", disable=None if len(wanted) > 1 else True, leave=False):
        with _one_line_errors(download), _locked(download):
            _complete(download, opener)
    for download in wanted:
        with _one_line_errors(download), _locked(download):
            _publish(download)


def download_cowley(
    folder: str | Path, session: str, *, base_url: str | None = None, opener: Opener = open_url
) -> None:
    """Download a session's images, responses and published compact models in the layout of the public repository.

    Args:
        folder: root of the layout, see :mod:`v4egg.recordings.readers.cowley`.
        session: session id such as ``s190923``.
        base_url: address of the layout's root; None: the public repository.
        opener: see :func:`fetch`.

    Raises:
        V4eggError: the manifest does not list the session, or a file cannot be fetched.
    """
    base_url = (base_url or cowley.manifest()["base_url"]).rstrip("/")
    downloads = [
        Download(f"{base_url}/{entry['path']}", Path(folder) / entry["path"], entry["sha256"], entry["bytes"])
        for entry in cowley.downloadable(folder, session)
    ]
    fetch_all(downloads, label=session, opener=opener)


def _complete(download: Download, opener: Opener) -> None:
    """Bring the partial file to the whole one, with the expected digest."""
    if download.is_here() or (_received(download) and sha256_of(download.partial) == download.sha256.lower()):
        return
    fruitless, most = 0, _received(download)
    while True:
        before = _received(download)
        try:
            received = _append(download, opener)
            if received == download.sha256.lower():
                return
            raise _Worthless(f"the download's SHA-256 is {received}, expected {download.sha256.lower()}")
        except _Worthless as error:
            _discard(download)
            if before == 0:  # a second attempt would bring the same
                raise V4eggError(
                    f"{download.url}: {error}; try again, or put the right file at {download.path} yourself"
                ) from error
        except (_Interrupted, *_BROKEN_CONNECTION) as error:
            fruitless = 0 if _received(download) > most else fruitless + 1
            most = max(most, _received(download))
            if fruitless == _ATTEMPTS or not _worth_another_attempt(error):
                raise
            time.sleep(_PAUSE_S * 2 ** max(0, fruitless - 1))


def _publish(download: Download) -> None:
    """Give the complete partial file its name, unless another process has done so."""
    if download.is_here():
        return
    to_disk(download.partial)
    download.partial.replace(download.path)
    download.validator.unlink(missing_ok=True)
    to_disk(download.path.parent)


def _append(download: Download, opener: Opener) -> str:
    """Ask for what is missing, write it to the partial file, and return the SHA-256 of the whole.

    Raises:
        _Interrupted: the connection ended early.
        _Worthless: the server sends more than the file, or has nothing after what is there.
    """
    start = _received(download)
    if download.size is not None and start >= download.size:
        return sha256_of(download.partial)
    try:
        response = opener(_request(download, start))
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            received = sha256_of(download.partial)  # perhaps it was complete already
            if received == download.sha256.lower():
                return received
            raise _Worthless("the server has nothing after what had arrived") from error
        raise
    with response:
        start = start if _continues(response, start) else 0
        expected = _expected_bytes(response, start, download)
        _remember_version(download, response)
        with download.partial.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            _copy(response, file, download, expected)
    received_bytes = _received(download)
    if expected is not None and received_bytes < expected:
        raise _Interrupted(f"the connection ended after {received_bytes} of {expected} bytes")
    return sha256_of(download.partial)


def _request(download: Download, start: int) -> Request:
    """A request for the file from a byte on; a server that has another version by now sends all of it."""
    request = Request(download.url)
    if start:
        request.add_header("Range", f"bytes={start}-")
        if download.validator.exists():
            request.add_header("If-Range", download.validator.read_text("ascii"))
    return request


def _continues(response: IO[bytes], start: int) -> bool:
    """Whether the response is what follows the first ``start`` bytes, rather than the whole file.

    Raises:
        _Worthless: it is another part of the file.
    """
    if start == 0 or getattr(response, "status", None) != http.HTTPStatus.PARTIAL_CONTENT:
        return False
    given = re.match(r"bytes (\d+)-", _headers(response).get("Content-Range") or "")
    if given is None or int(given[1]) != start:
        raise _Worthless("the server sent another part of the file than was asked for")
    return True


def _expected_bytes(response: IO[bytes], start: int, download: Download) -> int | None:
    """Size of the whole file, as the response or the manifest states it."""
    length = _headers(response).get("Content-Length")
    stated = start + int(length) if length else None
    if stated is not None and download.size is not None and stated != download.size:
        raise _Worthless(f"the server has {stated} bytes, expected {download.size}")
    return stated if stated is not None else download.size


def _copy(response: IO[bytes], file: IO[bytes], download: Download, expected: int | None) -> None:
    """Write the response block by block."""
    name = download.path.name
    with tqdm(
        total=expected, initial=file.tell(), desc=name, unit="B", unit_scale=True, disable=None, leave=False
    ) as bar:
        while block := _read(response):
            file.write(block)
            bar.update(len(block))
            if expected is not None and file.tell() > expected:
                raise _Worthless(f"the server sends more than {expected} bytes")


def _read(response: IO[bytes]) -> bytes:
    try:
        return response.read(_BLOCK_BYTES)
    except http.client.IncompleteRead as error:
        return error.partial


def _remember_version(download: Download, response: IO[bytes]) -> None:
    """Keep the strong validator of the response, with which a later request is conditional."""
    headers = _headers(response)
    tag = headers.get("ETag") or ""
    version = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")
    if version and version.isascii():
        download.validator.write_text(version, "ascii")
    else:
        download.validator.unlink(missing_ok=True)


def _headers(response: IO[bytes]) -> Any:
    return getattr(response, "headers", None) or {}


def _received(download: Download) -> int:
    return download.partial.stat().st_size if download.partial.exists() else 0


def _discard(download: Download) -> None:
    """Empty the partial file."""
    with download.partial.open("wb"):
        download.validator.unlink(missing_ok=True)


def _worth_another_attempt(error: Exception) -> bool:
    """Whether the server may answer in a moment."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code in _TRY_LATER
    return not _is_offline(error) and not isinstance(getattr(error, "reason", None), FileNotFoundError)


def _is_offline(error: Exception) -> bool:
    """Whether this machine reaches no network at all, rather than not this server."""
    reason = getattr(error, "reason", error)
    return isinstance(reason, socket.gaierror) or getattr(reason, "errno", None) in _NO_NETWORK


def _check_room(downloads: Sequence[Download]) -> None:
    """Refuse downloads that the disk has no room for, before the first byte."""
    needed = sum(download.missing_bytes() for download in downloads)
    if not needed:
        return
    folder = next(parent for parent in [*downloads[0].path.absolute().parents] if parent.exists())
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE_BYTES:
        raise V4eggError(
            f"{folder}: {_megabytes(free)} are free, and the download needs {_megabytes(needed + _SPARE_BYTES)}; make "
            "room, or choose a folder on another disk"
        )


@contextmanager
def _locked(download: Download) -> Iterator[None]:
    """Let one process at a time write the partial file; another one waits and finds the file complete."""
    download.path.parent.mkdir(parents=True, exist_ok=True)
    with download.partial.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            if not _received(download):
                download.partial.unlink(missing_ok=True)
                download.validator.unlink(missing_ok=True)


@contextmanager
def _one_line_errors(download: Download) -> Iterator[None]:
    """Turn whatever fails into an error of one line."""
    url, path = download.url, download.path
    try:
        yield
    except V4eggError:  # a ValueError too, and complete already
        raise
    except _Interrupted as error:
        raise V4eggError(f"{url}: {error}; run it again, and it goes on from there") from error
    except urllib.error.HTTPError as error:
        raise V4eggError(f"{url}: HTTP {error.code} {error.reason}; check the address, or try again later") from error
    except _BROKEN_CONNECTION as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        problem = "no network reaches it" if _is_offline(error) else "no connection"
        raise V4eggError(
            f"{url}: {problem} ({reason}); run it again with a network, or download the file on another machine and "
            f"put it at {path}"
        ) from error
    except OSError as error:
        raise V4eggError(
            f"{path}: cannot be written ({error.strerror or error}); make room or choose a folder"
        ) from error
    except ValueError as error:
        raise V4eggError(f"{url}: not a URL that can be opened ({error}); correct the address") from error


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
