"""Downloads against a server on the loopback interface and files."""

import functools
import hashlib
import http.server
import io
import json
import threading
import urllib.error

import pytest

from v4egg.errors import V4eggError
from v4egg.recordings.download import download_cowley, fetch
from v4egg.recordings.readers import cowley

DATA = bytes(range(256)) * 3000  # more than one block
SHA = hashlib.sha256(DATA).hexdigest()


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; ``/short`` announces more than it sends."""

    def do_GET(self):
        if self.path != "/short":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Length", str(len(DATA)))
        self.end_headers()
        self.wfile.write(DATA[:1000])
        return None

    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path):
    """A folder and the address that serves it."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "file.bin").write_bytes(DATA)
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def refusal(call, *arguments, **options):
    with pytest.raises(V4eggError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def never(url):
    raise AssertionError(f"{url} was opened")


def test_a_file_arrives_whole(served, tmp_path):
    target = tmp_path / "deep/er/file.bin"
    fetch(f"{served[1]}/file.bin", target, SHA.upper())
    assert target.read_bytes() == DATA
    assert [path.name for path in target.parent.iterdir()] == ["file.bin"]


def test_a_right_file_is_kept_and_a_wrong_one_replaced(served, tmp_path):
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")
    fetch(f"{served[1]}/file.bin", target, SHA)
    assert target.read_bytes() == DATA
    fetch(f"{served[1]}/file.bin", target, SHA, opener=never)


def test_file_urls(served, tmp_path):
    fetch((served[0] / "file.bin").as_uri(), tmp_path / "copy.bin", SHA)
    assert (tmp_path / "copy.bin").read_bytes() == DATA
    assert "no connection" in refusal(fetch, (tmp_path / "none").as_uri(), tmp_path / "other", SHA)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "HTTP 404 File not found"),
        ("short", f"the connection ended after 1000 of {len(DATA)} bytes"),
        ("file.bin", f"SHA-256 is {SHA}, expected {'0' * 64}"),
    ],
)
def test_a_failed_download_leaves_nothing(served, tmp_path, name, message):
    folder = tmp_path / "target"
    told = refusal(fetch, f"{served[1]}/{name}", folder / "file.bin", "0" * 64)
    assert message in told
    assert f"/{name}" in told and "not a URL" not in told
    assert list(folder.iterdir()) == []


def test_a_failed_download_keeps_what_was_there(served, tmp_path):
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")
    refusal(fetch, f"{served[1]}/file.bin", target, "0" * 64)
    assert target.read_bytes() == b"old"


class Broken(io.BytesIO):
    """A response that breaks off after its first block."""

    def read(self, size=-1):
        if self.tell():
            raise ConnectionResetError("reset by peer")
        return super().read(10)


def test_connections_that_fail(tmp_path):
    def unreachable(url):
        raise urllib.error.URLError("Name or service not known")

    def silent(url):
        raise TimeoutError

    for opener, word in (
        (unreachable, "not known"),
        (silent, "TimeoutError"),
        (lambda _: Broken(DATA), "reset by peer"),
    ):
        message = refusal(fetch, "https://example.org/file.bin", tmp_path / "file.bin", SHA, opener=opener)
        assert "https://example.org/file.bin: no connection" in message
        assert word in message
    assert list(tmp_path.iterdir()) == []


def test_addresses_and_targets_that_cannot_be(served, tmp_path):
    assert "not a URL" in refusal(fetch, "file.bin", tmp_path / "file.bin", SHA)
    (tmp_path / "taken").write_bytes(b"a file, no folder")
    assert "cannot be written" in refusal(fetch, f"{served[1]}/file.bin", tmp_path / "taken/file.bin", SHA)


@pytest.fixture
def small_manifest(served, monkeypatch):
    """A manifest of two sessions of which the server holds one."""
    contents = {
        "data_V4_responses/images/images_190923.zip": b"images",
        "data_V4_responses/responses_repeat_averaged/responses_190923.npy": b"responses",
        "data_compact_models/models_torch/compact_model_190923_neuron0.pt": b"model",
        "data_V4_responses/images/images_190925.zip": b"other session",
    }
    for path, data in contents.items():
        (served[0] / path).parent.mkdir(parents=True, exist_ok=True)
        (served[0] / path).write_bytes(data)
    files = [{"path": p, "bytes": len(d), "sha256": hashlib.sha256(d).hexdigest()} for p, d in contents.items()]
    monkeypatch.setattr(cowley, "manifest", lambda: {"base_url": f"{served[1]}/", "files": files})
    return contents


def test_a_session_is_fetched_in_its_layout(small_manifest, tmp_path):
    folder = tmp_path / "V4_compact_models"
    download_cowley(folder, "s190923")
    fetched = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert fetched == {path for path in small_manifest if "190923" in path}
    wanted = [*cowley.required_files(folder, "s190923"), *cowley.published_model_files(folder, "s190923")]
    assert all(path.is_file() for path in wanted)
    download_cowley(folder, "s190923", opener=never)


def test_a_session_that_is_not_listed(small_manifest, tmp_path):
    assert "session s200101: not in the manifest" in refusal(download_cowley, tmp_path, "s200101")


def test_another_server_can_be_named(small_manifest, served, tmp_path):
    def opener(url):
        assert url.startswith("https://mirror.example/v4/data_")
        return io.BytesIO(small_manifest[url.removeprefix("https://mirror.example/v4/")])

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
