"""Models of the hub, from a small server with the same interface."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from shell import Run, process

from genkit.errors import InputError, UsageError
from genkit_export.hub import Repository, choose, fetch, parse, shards

from .test_layout_junyanz import filled, resnet_shapes

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class TestNames:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("hf:a/b", Repository("a/b", "", None)),
            ("hf:Helsinki-NLP/opus-mt-en-de", Repository("Helsinki-NLP/opus-mt-en-de", "", None)),
            ("hf:a/b@v1.0", Repository("a/b", "", "v1.0")),
            ("hf:a/b@refs/pr/3", Repository("a/b", "", "refs/pr/3")),
            ("hf:a/b/models/g.pth@main", Repository("a/b", "models/g.pth", "main")),
        ],
    )
    def test_of_a_repository(self, text: str, expected: Repository) -> None:
        assert parse(text) == expected

    @pytest.mark.parametrize("text", ["hf:", "hf:a", "hf:/b", "hf:a b/c", "hf:a/b@"])
    def test_that_are_none(self, text: str) -> None:
        with pytest.raises(UsageError, match="is no name"):
            parse(text)


class TestChoice:
    def choose(self, *files: str, file: str = "") -> str:
        return choose(files, Repository("a/b", file, None))

    def test_safetensors_first(self) -> None:
        assert self.choose("pytorch_model.bin", "model.safetensors") == "model.safetensors"
        assert self.choose("config.json", "pytorch_model.bin") == "pytorch_model.bin"

    def test_the_only_file_of_weights(self) -> None:
        assert self.choose("README.md", "big-lama.pt") == "big-lama.pt"

    def test_the_one_that_was_asked_for(self) -> None:
        assert self.choose("a.pth", "b.pth", file="b.pth") == "b.pth"
        with pytest.raises(InputError, match=r"has no c\.pth"):
            self.choose("a.pth", file="c.pth")

    def test_several_or_none(self) -> None:
        with pytest.raises(InputError, match="several files of weights") as raised:
            self.choose("a.pth", "b.pth")
        assert raised.value.hint == "hf:a/b/a.pth; hf:a/b/b.pth"
        with pytest.raises(InputError, match="no files of weights"):
            self.choose("README.md")

    def test_shards(self) -> None:
        files = ["model-1-of-2.safetensors", "model-2-of-2.safetensors", "pytorch_model-1.bin"]
        assert shards(files, "model.safetensors.index.json") == files[:2]
        assert shards(files, "model.safetensors") == ()


class Server(ThreadingHTTPServer):
    """Serves one repository, `somebody/horses`."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.asked: list[str] = []
        self.tokens: set[str | None] = set()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        self.server.tokens.add(self.headers.get("Authorization"))
        parts = self.path.partition("?")[0].strip("/").split("/")
        files = sorted(self.server.folder.iterdir())
        match parts:
            case ["api", "models", "somebody", "horses", "tree", *_]:
                tree = [
                    {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": COMMIT}
                    for path in files
                ]
                self.send(json.dumps(tree).encode(), "application/json")
            case ["api", "models", "somebody", "horses", *_]:
                siblings = [{"rfilename": path.name} for path in files]
                body = {"id": "somebody/horses", "sha": COMMIT, "siblings": siblings}
                self.send(json.dumps(body).encode(), "application/json")
            case ["somebody", "horses", "resolve", _, name]:
                self.send((self.server.folder / name).read_bytes(), "application/octet-stream")
            case _:
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()

    do_HEAD = do_GET  # noqa: N815

    def send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "repository"
    folder.mkdir()
    save_file(filled(resnet_shapes(6)), folder / "model.safetensors")
    torch.save({"not": torch.zeros(1)}, folder / "pytorch_model.bin")
    (folder / "README.md").write_text("horses")
    (folder / "config.json").write_text("{}")
    server = Server(folder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def environment(server: Server, tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return {
        **kept,
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(tmp_path / "cache"),
        "HF_TOKEN": "hf_secret",
        "NO_PROXY": "127.0.0.1",
    }


def inspect(name: str, environment: dict[str, str], **changes: str) -> Run:
    return process("export", name, "--inspect", "--json", env=environment | changes)


def test_a_model_of_the_hub(server: Server, environment: dict[str, str]) -> None:
    run = inspect("hf:somebody/horses@main", environment)
    assert (run.code, run.err) == (0, "")
    record = json.loads(run.out)
    assert (record["layout"], record["folder"]) == ("junyanz-resnet", None)
    loaded = {path.rpartition("/")[2] for path in server.asked if "/resolve/" in path}
    assert loaded == {"model.safetensors", "config.json"}
    assert "Bearer hf_secret" in server.tokens

    # Once it is there, it can be had without a network.
    asked = len(server.asked)
    offline = inspect("hf:somebody/horses@main", environment, HF_HUB_OFFLINE="1")
    assert (offline.code, offline.err) == (0, "")
    assert json.loads(offline.out)["sha256"] == record["sha256"]
    assert len(server.asked) == asked


class TestWithoutAConnection:
    """The hub's library is told what happens; what it keeps is a folder."""

    @pytest.fixture
    def cached(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        import huggingface_hub

        def refuse(*_: Any, **__: Any) -> None:
            raise ConnectionError("[Errno 111] Connection refused")

        def snapshot(name: str, **options: Any) -> str:
            assert options["local_files_only"]
            if name != "somebody/horses":
                raise FileNotFoundError(name)
            return str(tmp_path)

        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
        (tmp_path / "model.safetensors").write_bytes(b"")
        return tmp_path

    def test_what_is_in_the_cache_is_taken_with_a_warning(self, cached: Path) -> None:
        with pytest.warns(RuntimeWarning, match="Connection refused; its files in the cache"):
            assert fetch(parse("hf:somebody/horses")) == cached

    def test_what_is_not_in_it_is_one_line_with_a_hint(self, cached: Path) -> None:
        with pytest.raises(InputError, match=r"cannot get hf:somebody/else: .*refused$") as raised:
            fetch(parse("hf:somebody/else"))
        assert raised.value.hint == "it is not in the cache either"

    def test_a_server_that_says_no_is_believed(
        self, cached: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import huggingface_hub

        class Gone(Exception):  # noqa: N818
            response = SimpleNamespace(status_code=404)

        def refuse(*_: Any, **__: Any) -> None:
            raise Gone("no such model")

        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
        with pytest.raises(InputError, match="cannot get hf:somebody/horses: no such model"):
            fetch(parse("hf:somebody/horses"))


def test_what_cannot_be_had_is_one_line(server: Server, environment: dict[str, str]) -> None:
    missing = inspect("hf:somebody/else", environment)
    assert (missing.code, missing.out) == (1, "")
    assert missing.err.startswith("genkit: cannot get hf:somebody/else: ")
    assert missing.err.count("\n") == 1
    offline = inspect("hf:somebody/horses", environment, HF_HUB_OFFLINE="1")
    assert (offline.code, offline.err.count("\n")) == (1, 1)
