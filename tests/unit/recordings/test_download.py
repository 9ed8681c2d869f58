"""Downloads against a server on the loopback interface and files."""

import hashlib
import http.server
import io
import json
import shutil
import socket
import threading
import urllib.error
from collections import namedtuple

import pytest

from v4egg.errors import V4eggError
from v4egg.recordings import download
from v4egg.recordings.download import download_cowley, fetch
from v4egg.recordings.readers import cowley

DATA = bytes(range(256)) * 3000  # more than one block
SHA = hashlib.sha256(DATA).hexdigest()


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder. The server's ``cuts`` says after how many bytes each response ends."""

    def do_GET(self):
        server = self.server
        server.requests.append({name: self.headers.get(name) for name in ("Range", "If-Range")})
        path = server.folder / self.path.lstrip("/")
        if not path.is_file():
            return self.send_error(404)
        data, start, tag = path.read_bytes(), 0, f'"{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"'
        asked = self.headers.get("Range") if server.ranges else None
        if asked and self.headers.get("If-Range") in (None, tag):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - start))
        if server.tags:
            self.send_header("ETag", tag)
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else len(data)
        self.wfile.write(data[start:][:cut])
        return None

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of the folder ``server.folder``."""
    monkeypatch.setattr(download, "_PAUSE_S", 0)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.folder, server.cuts, server.ranges, server.tags, server.requests = (
            tmp_path / "served",
            [],
            True,
            True,
            [],
        )
        server.folder.mkdir()
        (server.folder / "file.bin").write_bytes(DATA)
        server.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def refusal(call, *arguments, **options):
    with pytest.raises(V4eggError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def never(request):
    raise AssertionError(f"{request.full_url} was opened")


def test_a_file_arrives_whole(server, tmp_path):
    target = tmp_path / "deep/er/file.bin"
    fetch(f"{server.address}/file.bin", target, SHA.upper(), size=len(DATA))
    assert target.read_bytes() == DATA
    assert [path.name for path in target.parent.iterdir()] == ["file.bin"]


def test_a_right_file_is_kept_and_a_wrong_one_replaced(server, tmp_path):
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")
    fetch(f"{server.address}/file.bin", target, SHA)
    assert target.read_bytes() == DATA
    fetch(f"{server.address}/file.bin", target, SHA, opener=never)


def test_file_urls(server, tmp_path):
    fetch((server.folder / "file.bin").as_uri(), tmp_path / "copy.bin", SHA)
    assert (tmp_path / "copy.bin").read_bytes() == DATA
    assert "no connection" in refusal(fetch, (tmp_path / "none").as_uri(), tmp_path / "other", SHA)


def test_a_download_that_is_cut_off_goes_on_where_it_ended(server, tmp_path):
    server.cuts = [1000, 300_000]
    fetch(f"{server.address}/file.bin", tmp_path / "file.bin", SHA)
    assert (tmp_path / "file.bin").read_bytes() == DATA
    assert [request["Range"] for request in server.requests] == [None, "bytes=1000-", "bytes=301000-"]
    assert server.requests[1]["If-Range"] == f'"{SHA[:8]}"'


def test_the_next_call_goes_on_too(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_ATTEMPTS", 1)
    server.cuts = [1000, 0]
    told = refusal(fetch, f"{server.address}/file.bin", tmp_path / "file.bin", SHA)
    assert f"the connection ended after 1000 of {len(DATA)} bytes; run it again, and it goes on from there" in told
    assert not (tmp_path / "file.bin").exists()
    server.requests.clear()
    fetch(f"{server.address}/file.bin", tmp_path / "file.bin", SHA)
    assert [request["Range"] for request in server.requests] == ["bytes=1000-"]
    assert (tmp_path / "file.bin").read_bytes() == DATA
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.bin", "served"]


def test_a_server_without_ranges_starts_again(server, tmp_path):
    server.ranges, server.cuts = False, [1000]
    fetch(f"{server.address}/file.bin", tmp_path / "file.bin", SHA)
    assert (tmp_path / "file.bin").read_bytes() == DATA


@pytest.mark.parametrize("tags", [True, False])
def test_a_file_that_changed_on_the_server_is_not_mixed(server, tmp_path, monkeypatch, tags):
    monkeypatch.setattr(download, "_ATTEMPTS", 1)
    server.cuts, server.tags = [1000, 0], tags
    (server.folder / "file.bin").write_bytes(bytes(len(DATA)))
    refusal(fetch, f"{server.address}/file.bin", tmp_path / "file.bin", SHA)
    (server.folder / "file.bin").write_bytes(DATA)
    fetch(f"{server.address}/file.bin", tmp_path / "file.bin", SHA)
    assert (tmp_path / "file.bin").read_bytes() == DATA


@pytest.mark.parametrize("size", [None, len(DATA)])
@pytest.mark.parametrize("content", [DATA, bytes(len(DATA)), DATA + b"more"])
def test_a_partial_file_of_the_whole_size(server, tmp_path, content, size):
    one = download.Download(f"{server.address}/file.bin", tmp_path / "file.bin", SHA, size)
    one.partial.write_bytes(content)
    fetch(one.url, one.path, one.sha256, size=size)
    assert one.path.read_bytes() == DATA
    assert len(server.requests) == (content != DATA) + (content != DATA and size is None)


def test_a_server_that_always_ends_early_is_given_up(server, tmp_path):
    server.ranges, server.cuts = False, [1000, 1500, 1000, 1200, 1500, 900]
    told = refusal(fetch, f"{server.address}/file.bin", tmp_path / "file.bin", SHA)
    assert "the connection ended after 900 of" in told
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("nothing", None, "HTTP 404 Not Found"),
        ("file.bin", None, f"SHA-256 is {SHA}, expected {'0' * 64}"),
        ("file.bin", 10, f"the server has {len(DATA)} bytes, expected 10"),
    ],
)
def test_a_wrong_download_leaves_nothing(server, tmp_path, name, size, message):
    folder = tmp_path / "target"
    told = refusal(fetch, f"{server.address}/{name}", folder / "file.bin", "0" * 64, size=size)
    assert message in told
    assert f"/{name}" in told and "not a URL" not in told
    assert list(folder.iterdir()) == []


def test_a_failed_download_keeps_what_was_there(server, tmp_path):
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")
    refusal(fetch, f"{server.address}/file.bin", target, "0" * 64)
    assert target.read_bytes() == b"old"


class Broken(io.BytesIO):
    """A response that breaks off after its first block."""

    def read(self, size=-1):
        if self.tell():
            raise ConnectionResetError("reset by peer")
        return super().read(10)


def test_connections_that_fail(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_PAUSE_S", 0)

    def offline(request):
        raise urllib.error.URLError(socket.gaierror(-3, "Temporary failure in name resolution"))

    def silent(request):
        raise TimeoutError

    cases = ((silent, "no connection (TimeoutError)"), (lambda _: Broken(DATA), "no connection (reset by peer)"))
    for opener, words in (*cases, (offline, "no network reaches it")):
        message = refusal(fetch, "https://example.org/file.bin", tmp_path / "file.bin", SHA, opener=opener)
        assert f"https://example.org/file.bin: {words}" in message
        assert f"put it at {tmp_path / 'file.bin'}" in message
    assert not (tmp_path / "file.bin").exists()


def test_addresses_and_targets_that_cannot_be(server, tmp_path):
    assert "not a URL" in refusal(fetch, "file.bin", tmp_path / "file.bin", SHA)
    (tmp_path / "taken").write_bytes(b"a file, no folder")
    assert "cannot be written" in refusal(fetch, f"{server.address}/file.bin", tmp_path / "taken/file.bin", SHA)


def test_a_full_disk_is_seen_before_the_first_byte(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**9, 10**9 - 10**8, 10**8)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    told = refusal(fetch, "https://example.org/f", tmp_path / "new/f", SHA, size=10**8, opener=never)
    assert told.startswith(f"{tmp_path}: 100.0 MB are free, and the download needs 167.1 MB")


def test_two_processes_may_download_the_same_file(server, tmp_path):
    (server.folder / "big.bin").write_bytes(DATA * 8)
    sha, told = hashlib.sha256(DATA * 8).hexdigest(), []

    def run():
        try:
            fetch(f"{server.address}/big.bin", tmp_path / "big.bin", sha)
        except V4eggError as error:
            told.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == []
    assert (tmp_path / "big.bin").read_bytes() == DATA * 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big.bin", "served"]


@pytest.fixture
def small_manifest(server, monkeypatch):
    """A manifest of two sessions of which the server holds one."""
    contents = {
        "data_V4_responses/images/images_190923.zip": b"images",
        "data_V4_responses/responses_repeat_averaged/responses_190923.npy": b"responses",
        "data_compact_models/models_torch/compact_model_190923_neuron0.pt": b"model",
        "data_V4_responses/images/images_190925.zip": b"other session",
    }
    for path, data in contents.items():
        (server.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (server.folder / path).write_bytes(data)
    files = [{"path": p, "bytes": len(d), "sha256": hashlib.sha256(d).hexdigest()} for p, d in contents.items()]
    about = {"base_url": f"{server.address}/", "repository": "https://example.org/v4", "license": "GPL-3.0"}
    monkeypatch.setattr(cowley, "manifest", lambda: {**about, "files": files})
    return contents


def fetched(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_session_is_fetched_in_its_layout(small_manifest, tmp_path):
    folder = tmp_path / "V4_compact_models"
    stated = "s190923: 3 files, 0.0 MB, from https://example.org/v4 (licence GPL-3.0)"
    assert cowley.download_statement(folder, "s190923") == stated
    download_cowley(folder, "s190923")
    assert fetched(folder) == {path for path in small_manifest if "190923" in path}
    wanted = [*cowley.required_files(folder, "s190923"), *cowley.published_model_files(folder, "s190923")]
    assert all(path.is_file() for path in wanted)
    download_cowley(folder, "s190923", opener=never)


def test_a_session_that_fails_keeps_its_complete_files_aside(small_manifest, server, tmp_path):
    folder, last = tmp_path / "copy", "data_compact_models/models_torch/compact_model_190923_neuron0.pt"
    (server.folder / last).unlink()
    assert "HTTP 404" in refusal(download_cowley, folder, "s190923")
    assert len(fetched(folder)) == 4  # two complete ones with what tells the server their versions
    assert all(name.endswith((".part", ".version")) for name in fetched(folder))
    (server.folder / last).write_bytes(small_manifest[last])
    server.requests.clear()
    download_cowley(folder, "s190923")
    assert len(server.requests) == 1
    assert fetched(folder) == {path for path in small_manifest if "190923" in path}


def test_a_session_that_is_not_listed(small_manifest, tmp_path):
    assert "session s200101: not in the manifest" in refusal(download_cowley, tmp_path, "s200101")


def test_another_server_can_be_named(small_manifest, tmp_path):
    def opener(request):
        assert request.full_url.startswith("https://mirror.example/v4/data_")
        return io.BytesIO(small_manifest[request.full_url.removeprefix("https://mirror.example/v4/")])

    download_cowley(tmp_path / "copy", "s190925", base_url="https://mirror.example/v4", opener=opener)
    assert (tmp_path / "copy/data_V4_responses/images/images_190925.zip").read_bytes() == b"other session"


def test_the_manifest_covers_what_the_reader_needs(tmp_path):
    cowley.manifest.cache_clear()
    manifest = cowley.manifest()
    listed = {entry["path"] for entry in manifest["files"]}
    assert len(listed) == len(manifest["files"])
    assert manifest["base_url"].startswith("https://raw.githubusercontent.com/cowleygroup/V4_compact_models/")
    sessions = ["190923", "190925", "190927", "190928", "190929", "201025", "210224", "210322", "210325", "210621"]
    for session in (f"s{number}" for number in sessions):
        wanted = [*cowley.required_files(tmp_path, session), *cowley.published_model_files(tmp_path, session)]
        entries = {entry["path"] for entry in cowley.session_entries(session)}
        assert {path.relative_to(tmp_path).as_posix() for path in wanted} <= entries
    for entry in manifest["files"]:
        assert entry["bytes"] > 0
        assert len(bytes.fromhex(entry["sha256"])) == 32
    assert json.dumps(manifest)
