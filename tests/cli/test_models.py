"""``genkit models``: what is listed, shown and found to be damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import folders
import pytest
from shell import TerminalOut, genkit

from genkit.registry import TASKS

GRAPH = "translate.int8.onnx"
KEYS = ["task", "name", "path", "precisions", "bytes", "tags", "description", "error"]


@pytest.fixture
def folder(models: Path) -> Path:
    return folders.write(models, "translate")


@pytest.fixture
def broken(models: Path) -> Path:
    folder = folders.write(models, "fill")
    (folder / "fill.fp32.onnx").unlink()
    return folder


def records(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


class TestList:
    def test_is_a_table_whose_columns_can_be_cut(self, models: Path, folder: Path) -> None:
        folders.write(models, "inpaint")
        run = genkit("models", "list")
        assert (run.code, run.err) == (0, "")
        assert [line.split(maxsplit=4) for line in run.out.splitlines()] == [
            ["inpaint", "yosemite", "fp32", "18.0B", "Fills holes in landscapes"],
            ["translate", "en-de", "fp32,int8", "40.0B", "English to German, everyday sentences"],
        ]
        starts = {line.index("fp32") for line in run.out.splitlines()}
        assert len(starts) == 1, "columns are in line"

    def test_of_one_task(self, models: Path, folder: Path) -> None:
        folders.write(models, "inpaint")
        assert genkit("models", "list", "--task", "inpaint").out.split()[:2] == [
            "inpaint",
            "yosemite",
        ]
        assert len(genkit("models", "list", "--task", "inpaint").out.splitlines()) == 1

    @pytest.mark.parametrize("task", ["[x", "dream", "*", "../fill"])
    def test_of_a_task_that_there_is_not(self, models: Path, folder: Path, task: str) -> None:
        for command in ("list", "verify"):
            run = genkit("models", command, "--task", task)
            assert (run.code, run.out) == (2, "")
            assert run.err == (
                f"genkit: no such task: {task!r}\n"
                "hint: one of: translate, fill, classify, sample, cyclegan, inpaint\n"
            )

    def test_hidden_folders_hold_no_models(self, models: Path, folder: Path) -> None:
        """Those of an export that was killed, for example."""
        folder.parent.joinpath(".genkit-export-x1").mkdir()
        for file in folder.iterdir():
            (folder.parent / ".genkit-export-x1" / file.name).write_bytes(file.read_bytes())
        run = genkit("models", "list", "--json")
        assert [record["path"] for record in records(run.out)] == [str(folder)]

    def test_of_nothing_says_where_it_looked(self, models: Path) -> None:
        run = genkit("models", "list")
        assert (run.code, run.out) == (0, "")
        assert run.err.startswith(f"genkit: no models; looked in {models}, ")

    def test_reports_a_broken_model_and_goes_on(self, folder: Path, broken: Path) -> None:
        run = genkit("models", "list")
        assert run.code == 0
        assert [line.split()[1] for line in run.out.splitlines()] == ["en-de"]
        assert run.err == (
            f"genkit: warning: broken model: {broken / 'fill.fp32.onnx'} is missing\n"
        )

    def test_json_has_the_same_keys_for_good_and_broken_models(
        self, folder: Path, broken: Path
    ) -> None:
        run = genkit("models", "list", "--json")
        assert (run.code, run.err) == (0, "")
        bad, good = records(run.out)
        assert list(bad) == list(good) == KEYS
        assert good == {
            "task": "translate",
            "name": "en-de",
            "path": str(folder),
            "precisions": ["fp32", "int8"],
            "bytes": 2 * len(folders.GRAPH) + 2 * len(folders.TOKENIZER),
            "tags": ["default"],
            "description": "English to German, everyday sentences",
            "error": None,
        }
        assert bad["error"] == f"{broken / 'fill.fp32.onnx'} is missing"
        assert (bad["task"], bad["name"], bad["precisions"]) == ("fill", "everyday", None)


class TestShow:
    def test_tells_what_a_program_and_a_person_want_to_know(self, folder: Path) -> None:
        run = genkit("models", "show", "en-de")
        assert (run.code, run.err) == (0, "")
        for line in (
            "translate/en-de: English to German, everyday sentences",
            f"folder: {folder}",
            "licence: CC-BY-2.0",
            "languages: en to de, fr",
            "  fp32: translate.fp32.onnx, 18.0B, the default on cuda",
            "  int8: translate.int8.onnx, 18.0B, the default on cpu",
            "  takes beam_size: int64 [], hypotheses to follow; 1 is greedy search",
            "  gives scores: float32 [batch, beam_size], log probability / length ** length_penalty",
            "measured: BLEU 41.5 on Multi30k test_2016",
            "limitations: Knows no poetry.",
        ):
            assert f"{line}\n" in run.out

    @pytest.mark.parametrize("task", TASKS)
    def test_every_task(self, models: Path, task: str) -> None:
        folder = folders.write(models, task)
        run = genkit("models", "show", str(folder))
        assert (run.code, run.err) == (0, "")
        assert run.out.startswith(f"{task}/")

    def test_bf16_has_no_file(self, models: Path) -> None:
        folders.write(models, "classify")
        out = genkit("models", "show", "cifar").out
        assert "  bf16: computed by OpenVINO, the default on openvino\n" in out
        assert json.loads(genkit("models", "list", "--json").out)["precisions"] == ["fp32", "bf16"]

    def test_names_the_classes(self, models: Path) -> None:
        for task in ("classify", "sample"):
            folders.write(models, task)
        assert "labels: cat, dog, ship\n" in genkit("models", "show", "cifar").out
        assert "classes: airplane, ship\n" in genkit("models", "show", "biggan").out

    def test_json_is_the_card(self, folder: Path) -> None:
        run = genkit("models", "show", "en-de", "--json")
        assert run.out.count("\n") == 1
        assert json.loads(run.out) == json.loads((folder / "model.json").read_bytes())

    def test_an_unknown_name(self, folder: Path) -> None:
        assert genkit("models", "show", "en-dee") == (
            3,
            "",
            "genkit: no model 'en-dee'\nhint: did you mean 'en-de'?\n",
        )


class TestVerify:
    def damage(self, folder: Path) -> None:
        """Change a byte; the size stays."""
        (folder / GRAPH).write_bytes(folders.GRAPH[:-1] + b"?")

    def test_all_models_by_default(self, models: Path, folder: Path) -> None:
        folders.write(models, "inpaint")
        assert genkit("models", "verify") == (0, "inpaint/yosemite: ok\ntranslate/en-de: ok\n", "")

    def test_a_damaged_file_a_broken_folder_and_the_others(
        self, models: Path, folder: Path, broken: Path
    ) -> None:
        folders.write(models, "inpaint")
        self.damage(folder)
        run = genkit("models", "verify")
        assert run.code == 1
        assert run.out == (
            "fill/everyday: damaged\ninpaint/yosemite: ok\ntranslate/en-de: damaged\n"
        )
        assert run.err == (
            f"genkit: {broken / 'fill.fp32.onnx'} is missing\n"
            f"genkit: {folder / GRAPH} is not the file that the card describes\n"
        )

    def test_some_models(self, models: Path, folder: Path) -> None:
        self.damage(folder)
        other = folders.write(models, "inpaint")
        assert genkit("models", "verify", "yosemite", str(other)) == (
            0,
            f"yosemite: ok\n{other}: ok\n",
            "",
        )
        assert genkit("models", "verify", "en-de").code == 1
        assert genkit("models", "verify", "nothing").code == 3

    def test_shows_progress_on_a_terminal_only(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TERM", "xterm")
        run = genkit("models", "verify", stderr=TerminalOut())
        assert run.out == "translate/en-de: ok\n"
        assert "verifying" in run.err
        assert "100%" in run.err


def test_path_is_for_other_programs(folder: Path) -> None:
    assert genkit("models", "path", "en-de") == (0, f"{folder}\n", "")


def test_a_name_of_two_tasks(models: Path) -> None:
    for task in ("fill", "translate"):
        folders.write(models, task, "both")
    assert genkit("models", "path", "both").code == 3
    assert genkit("models", "path", "both", "--task", "fill").out == f"{models / 'fill/both'}\n"
