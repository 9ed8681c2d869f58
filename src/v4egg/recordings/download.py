"""Downloads checked by SHA-256: a file appears under its name only once it is complete and has the expected digest."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO

from tqdm import tqdm

from v4egg.errors import V4eggError
from v4egg.io.files import replacing, sha256_of
from v4egg.recordings.readers import cowley

_BLOCK_BYTES = 2**18
_TIMEOUT_S = 60
_BROKEN_CONNECTION = (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException)


def open_url(url: str) -> IO[bytes]:
    """Open a URL for reading; the attempt ends when the server sends nothing for a minute."""
    response: IO[bytes] = urllib.request.urlopen(url, timeout=_TIMEOUT_S)
    return response


def fetch(url: str, path: str | Path, sha256: str, *, opener: Callable[[str], IO[bytes]] = open_url) -> None:
    """Download a file, unless it exists already with the expected digest.

    Args:
        url: http, https or file address.
        path: target; its folders are created. The file changes only once the complete download has the expected digest.
        sha256: expected digest, 64 hexadecimal digits.
        opener: returns a readable response for a URL; ``headers`` may contain its Content-Length.

    Raises:
        V4eggError: the server refuses or cannot be reached, the download ends early, its digest differs, or the file
            cannot be written. Nothing of the download remains then.

    Example:
        >>> import hashlib, io, tempfile
        >>> path = Path(tempfile.mkdtemp()) / "data.txt"
        >>> digest = hashlib.sha256(b"spikes").hexdigest()
        >>> fetch("https://example.org/data.txt", path, digest, opener=lambda url: io.BytesIO(b"spikes"))
        >>> path.read_text()
        'spikes'
    """
    path, sha256 = Path(path), sha256.lower()
    if path.is_file() and sha256_of(path) == sha256:
        return
    try:
        with replacing(path, suffix=f".{os.getpid()}.part") as partial:  # two jobs may download the same file
            received = _stream(url, partial, opener)
            if received != sha256:
                raise V4eggError(
                    f"{url}: the download's SHA-256 is {received}, expected {sha256}; "
                    f"try again, or put the right file at {path} yourself"
                )
    except V4eggError:  # a ValueError too, and complete already
        raise
    except urllib.error.HTTPError as error:
        raise V4eggError(f"{url}: HTTP {error.code} {error.reason}; check the address, or try again later") from error
    except _BROKEN_CONNECTION as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise V4eggError(
            f"{url}: no connection ({reason}); check the network, or put the file at {path} yourself"
        ) from error
    except OSError as error:
        raise V4eggError(
            f"{path}: cannot be written ({error.strerror or error}); make room or choose a folder"
        ) from error
    except ValueError as error:
        raise V4eggError(f"{url}: not a URL that can be opened ({error}); correct the address") from error


def download_cowley(
    folder: str | Path, session: str, *, base_url: str | None = None, opener: Callable[[str], IO[bytes]] = open_url
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
    entries = cowley.session_entries(session)
    if not entries:
        raise V4eggError(
            f"session {session}: not in the manifest of downloads; "
            f"put its files into {folder} from github {cowley.REPOSITORY} yourself"
        )
    base_url = (base_url or cowley.manifest()["base_url"]).rstrip("/")
    for entry in tqdm(entries, desc=session, unit="file", disable=None, leave=False):
        fetch(f"{base_url}/{entry['path']}", Path(folder) / entry["path"], entry["sha256"], opener=opener)


def _stream(url: str, target: Path, opener: Callable[[str], IO[bytes]]) -> str:
    """Write the response to ``target`` block by block and return its SHA-256.

    Raises:
        V4eggError: the response is shorter than its Content-Length.
    """
    sha = hashlib.sha256()
    with opener(url) as response, target.open("wb") as file:
        length = (getattr(response, "headers", None) or {}).get("Content-Length")
        total = int(length) if length else None
        with tqdm(total=total, desc=target.name, unit="B", unit_scale=True, disable=None, leave=False) as progress:
            while block := response.read(_BLOCK_BYTES):
                file.write(block)
                sha.update(block)
                progress.update(len(block))
        received = file.tell()
    if total is not None and received < total:
        raise V4eggError(f"{url}: the connection ended after {received} of {total} bytes; try again")
    return sha.hexdigest()
