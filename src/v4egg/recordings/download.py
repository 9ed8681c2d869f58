"""Downloads that are whole and right, or not there: streamed beside the target, checked by SHA-256, renamed."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from v4egg.errors import V4eggError
from v4egg.io.files import replacing, sha256_of
from v4egg.recordings.readers import cowley

_BLOCK_BYTES = 2**18
_TIMEOUT_S = 60
_BROKEN_CONNECTION = (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException)


def open_url(url: str) -> BinaryIO:
    """A readable response; gives up when the server is silent for a minute."""
    return urllib.request.urlopen(url, timeout=_TIMEOUT_S)


def fetch(url: str, path: str | Path, sha256: str, *, opener: Callable[[str], BinaryIO] = open_url) -> None:
    """Download ``url`` to ``path``; a file that is there with the right digest is kept.

    Args:
        url: http, https or file address.
        path: target; its folders are made. It changes only once the whole download has the right digest.
        sha256: expected digest, 64 hexadecimal digits.
        opener: gives a readable, closable response for a URL; ``headers`` may carry its Content-Length.

    Raises:
        V4eggError: the server refuses or cannot be reached, the download ends early, the digest is another, or the
            file cannot be written. Nothing of the download stays.
    """
    path, sha256 = Path(path), sha256.lower()
    if path.is_file() and sha256_of(path) == sha256:
        return
    try:
        with replacing(path, suffix=f".{os.getpid()}.part") as partial:  # two jobs may download the same file
            found = _stream(url, partial, opener)
            if found != sha256:
                raise V4eggError(
                    f"{url}: the download's SHA-256 is {found}, expected {sha256}; "
                    f"try again, or put the right file at {path} yourself"
                )
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
    folder: str | Path, session: str, *, base_url: str | None = None, opener: Callable[[str], BinaryIO] = open_url
) -> None:
    """Fetch a session's images, responses and published compact models in the repository's layout under ``folder``.

    Args:
        folder: root of the layout, see :mod:`v4egg.recordings.readers.cowley`.
        session: session id such as ``s190923``.
        base_url: where the layout is served; the public repository when None.
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


def _stream(url: str, target: Path, opener: Callable[[str], BinaryIO]) -> str:
    """Write the response to ``target`` block by block; its SHA-256.

    Raises:
        V4eggError: the response ends before its announced length.
    """
    sha = hashlib.sha256()
    with opener(url) as response, target.open("wb") as file:
        length = getattr(response, "headers", None) and response.headers.get("Content-Length")
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
