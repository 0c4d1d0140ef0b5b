"""Model folders: where they are found, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import folders
import pytest
from shell import genkit

from genkit.errors import CardError, GenkitWarning, ModelError, ModelNotFoundError
from genkit.model import (
    find,
    list_models,
    open_model,
    scan,
    search_path,
    shipped_models,
    user_models,
    verify,
)

GRAPH = "translate.int8.onnx"


class TestOpening:
    def test_a_folder_that_fits_its_card(self, tmp_path: Path) -> None:
        folder = folders.write(tmp_path, "translate")
        model = open_model(folder)
        assert model.graph("translate", "int8") == folder / GRAPH
        assert model.file("tokenizer.json") == folder / "tokenizer.json"

    def test_a_graph_that_the_card_lacks(self, tmp_path: Path) -> None:
        model = open_model(folders.write(tmp_path, "translate"))
        with pytest.raises(ModelError, match="en-de has no bf16 graph for 'translate'"):
            model.graph("translate", "bf16")
        with pytest.raises(ModelError, match="en-de has no graph for 'attention'"):
            model.graph("attention", "fp32")

    @pytest.mark.parametrize("file", [GRAPH, "tokenizer.json"])
    def test_a_missing_file(self, tmp_path: Path, file: str) -> None:
        folder = folders.write(tmp_path, "translate")
        (folder / file).unlink()
        with pytest.raises(ModelError, match=f"{file} is missing"):
            open_model(folder)

    def test_a_file_that_was_cut_short(self, tmp_path: Path) -> None:
        folder = folders.write(tmp_path, "translate")
        (folder / GRAPH).write_bytes(b"short")
        with pytest.raises(ModelError, match=f"{GRAPH} has 5 bytes instead of 18"):
            open_model(folder)

    def test_a_link_out_of_the_folder(self, tmp_path: Path) -> None:
        folder = folders.write(tmp_path, "translate")
        outside = tmp_path / "outside.onnx"
        (folder / GRAPH).rename(outside)
        (folder / GRAPH).symlink_to(outside)
        with pytest.raises(ModelError, match=f"{GRAPH} leads out of the model's folder"):
            open_model(folder)

    def test_a_link_inside_the_folder_and_one_to_the_folder(self, tmp_path: Path) -> None:
        folder = folders.write(tmp_path, "translate")
        (folder / GRAPH).rename(folder / "real.onnx")
        (folder / GRAPH).symlink_to("real.onnx")
        (tmp_path / "alias").symlink_to(folder)
        assert open_model(tmp_path / "alias").graph("translate", "int8").is_file()

    def test_a_folder_without_a_card(self, tmp_path: Path) -> None:
        with pytest.raises(ModelNotFoundError, match=r"it has no model\.json"):
            open_model(tmp_path)
        with pytest.raises(ModelNotFoundError, match="it is not a folder"):
            open_model(tmp_path / "nowhere")

    def test_a_broken_card(self, tmp_path: Path) -> None:
        folder = folders.write(tmp_path, "translate")
        (folder / "model.json").write_text("{")
        with pytest.raises(CardError, match="is not JSON"):
            open_model(folder)


class TestVerifying:
    def test_whole_files_have_no_problem_and_all_bytes_are_read(self, tmp_path: Path) -> None:
        read: list[float] = []
        assert verify(open_model(folders.write(tmp_path, "translate")), read.append) == []
        assert sum(read) == 2 * len(folders.GRAPH) + 2 * len(folders.TOKENIZER)

    def test_a_changed_byte_is_found_in_a_file_of_the_right_size(self, tmp_path: Path) -> None:
        folder = folders.write(tmp_path, "translate")
        model = open_model(folder)
        (folder / GRAPH).write_bytes(folders.GRAPH[:-1] + b"?")
        assert verify(open_model(folder)) == [
            f"{folder / GRAPH} is not the file that the card describes"
        ]
        assert model.card.graphs["translate"]["int8"].size == len(folders.GRAPH)

    def test_a_changed_tokeniser_is_found(self, tmp_path: Path) -> None:
        folder = folders.write(tmp_path, "translate")
        (folder / "tokenizer.target.json").write_bytes(b"[]")
        assert verify(open_model(folder)) == [
            f"{folder / 'tokenizer.target.json'} is not the file that the card describes"
        ]

    def test_a_tokeniser_that_is_cut_short_is_not_opened(self, tmp_path: Path) -> None:
        folder = folders.write(tmp_path, "translate")
        (folder / "tokenizer.json").write_bytes(b"{")
        with pytest.raises(ModelError, match=r"tokenizer\.json has 1 bytes instead of 2"):
            open_model(folder)

    def test_a_card_from_before_tokenisers_had_hashes_is_read_and_says_so(
        self, tmp_path: Path
    ) -> None:
        folder = folders.write(tmp_path, "translate")
        card = json.loads((folder / "model.json").read_text())
        del card["files"]
        (folder / "model.json").write_text(json.dumps(card))
        model = open_model(folder)
        assert verify(model) == []
        assert model.card.unhashed() == ("tokenizer.json", "tokenizer.target.json")
        run = genkit("models", "verify", str(folder))
        assert (run.code, run.out) == (0, f"{folder}: ok\n")
        assert "has no hash of tokenizer.json, tokenizer.target.json" in run.err

    def test_a_snapshot_of_the_hubs_cache_is_a_model_folder(self, tmp_path: Path) -> None:
        snapshot = tmp_path / "models--me--en-de" / "snapshots" / "0123"
        snapshot.parent.mkdir(parents=True)
        folders.write(tmp_path, "translate").rename(snapshot)
        blobs = snapshot.parent.parent / "blobs"
        blobs.mkdir()
        for number, file in enumerate(sorted(snapshot.iterdir())):
            file.rename(blobs / str(number))
            file.symlink_to(Path("../../blobs") / str(number))
        assert verify(open_model(snapshot)) == []
        (snapshot / "tokenizer.json").unlink()
        (snapshot / "tokenizer.json").symlink_to("/etc/hostname")
        with pytest.raises(ModelError, match="leads out"):
            open_model(snapshot)


class TestPlaces:
    def test_the_wish_of_the_user_comes_first(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("GENKIT_MODELS", os.pathsep.join(["/a", "", str(tmp_path)]))
        assert search_path()[:3] == [Path("/a"), tmp_path, user_models()]

    def test_the_users_models_lie_in_the_data_directory(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr("platformdirs.user_data_path", lambda *_, **__: tmp_path / "genkit")
        assert user_models() == tmp_path / "genkit" / "models"

    def test_weights_in_a_wheel_lie_inside_the_package(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        weights = self.install(monkeypatch, tmp_path, "genkit/weights")
        assert shipped_models() == [weights]

    def test_weights_in_a_checkout_lie_beside_the_package(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        weights = self.install(monkeypatch, tmp_path, "weights")
        assert shipped_models() == [], "a folder called weights in site-packages is not ours"
        (tmp_path / "pyproject.toml").touch()
        assert shipped_models() == [weights]

    @staticmethod
    def install(monkeypatch: pytest.MonkeyPatch, root: Path, weights: str) -> Path:
        (root / weights).mkdir(parents=True)
        monkeypatch.setattr("genkit.model.__file__", str(root / "genkit" / "model.py"))
        return root / weights


class TestFinding:
    def test_by_name(self, models: Path) -> None:
        folders.write(models, "translate", "en-fr")
        folder = folders.write(models, "translate", "en-de")
        assert find("translate", "en-de").path == folder
        assert find(None, "en-de").path == folder

    @pytest.mark.parametrize("spelling", ["{}", "{}/", Path])
    def test_by_path(self, tmp_path: Path, models: Path, spelling: str | type[Path]) -> None:
        folder = folders.write(tmp_path, "translate")
        name = spelling.format(folder) if isinstance(spelling, str) else spelling(folder)
        assert find("translate", name).path == folder

    def test_by_a_path_that_looks_like_a_name(
        self, tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folders.write(tmp_path, "translate", "mine")
        monkeypatch.chdir(tmp_path / "translate")
        assert find("translate", "mine").path == Path("mine")
        assert find("translate", "./mine").path == Path("mine")
        ours = folders.write(models, "translate", "mine")
        assert find("translate", "mine").path == ours, "names go before folders that lie about"

    def test_below_the_home_folder(
        self, tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("USERPROFILE", str(tmp_path))
        folder = folders.write(tmp_path, "translate")
        assert find("translate", "~/translate/en-de").path == folder

    def test_the_first_place_that_has_the_name_counts(
        self, tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folders.write(models, "translate")
        first = folders.write(tmp_path / "first", "translate")
        monkeypatch.setenv("GENKIT_MODELS", f"{tmp_path / 'first'}{os.pathsep}{models}")
        assert find("translate", "en-de").path == first
        assert [model.path for model in list_models()] == [first]

    def test_the_default_is_the_only_model_or_the_one_with_the_tag(self, models: Path) -> None:
        only = folders.write(models, "translate", "a", tags=[])
        assert find("translate").path == only
        tagged = folders.write(models, "translate", "b", tags=["default"])
        assert find("translate").path == tagged

    def test_several_models_and_no_default(self, models: Path) -> None:
        for name in "ab":
            folders.write(models, "translate", name, tags=[])
        with pytest.raises(ModelNotFoundError, match="none is the default") as caught:
            find("translate")
        assert caught.value.hint == "--model one of: a, b"

    def test_another_task_is_not_found_by_name_and_refused_by_path(self, models: Path) -> None:
        folder = folders.write(models, "fill")
        with pytest.raises(ModelNotFoundError, match="no model 'everyday' for translate"):
            find("translate", "everyday")
        with pytest.raises(ModelError, match="is a model for fill, not for translate"):
            find("translate", folder)

    def test_a_name_of_two_tasks_needs_the_task(self, models: Path) -> None:
        for task in ("fill", "translate"):
            folders.write(models, task, "both")
        with pytest.raises(ModelNotFoundError, match="'both': for fill, translate"):
            find(None, "both")
        assert find("fill", "both").card.task == "fill"

    @pytest.mark.parametrize(
        ("name", "hint"), [("en-dee", "did you mean 'en-de'?"), ("xyz", "there is: en-de, en-fr")]
    )
    def test_what_is_not_there_is_answered_with_what_is(
        self, models: Path, name: str, hint: str
    ) -> None:
        for existing in ("en-de", "en-fr"):
            folders.write(models, "translate", existing)
        with pytest.raises(ModelNotFoundError, match=f"no model '{name}' for translate") as caught:
            find("translate", name)
        assert caught.value.hint == hint

    def test_where_nothing_is_the_places_are_told(self, models: Path) -> None:
        for name in (None, "en-de"):
            with pytest.raises(ModelNotFoundError) as caught:
                find("translate", name)
            assert caught.value.hint == f"looked in {models}, {user_models()}"


class TestBrokenModels:
    @pytest.fixture
    def broken(self, models: Path) -> Path:
        folder = folders.write(models, "translate", "broken", tags=["default"])
        (folder / GRAPH).unlink()
        return folder

    def test_they_do_not_hide_the_others(self, models: Path, broken: Path) -> None:
        good = folders.write(models, "translate", "good")
        with pytest.warns(RuntimeWarning, match=f"broken model: {broken / GRAPH} is missing"):
            assert [model.path for model in list_models()] == [good]
        assert find("translate").path == good
        assert find("translate", "good").path == good
        found = dict(scan())
        assert isinstance(found[broken], ModelError)

    def test_they_say_what_is_wrong_when_they_are_asked_for(self, broken: Path) -> None:
        for name in ("broken", broken, None):
            with pytest.raises(ModelError, match="is missing"):
                find("translate", name)

    def test_a_folder_whose_card_has_another_task(self, models: Path) -> None:
        folder = folders.write(models, "fill")
        (models / "translate").mkdir()
        folder.rename(models / "translate" / "everyday")
        for name in ("everyday", None):
            with pytest.raises(ModelError, match="is a model for fill, not for translate"):
                find("translate", name)


def test_a_card_is_not_read_for_a_model_that_is_not_asked_for(models: Path) -> None:
    folders.write(models, "translate", "good")
    other = folders.write(models, "translate", "other")
    (other / "model.json").write_text(json.dumps({}))
    assert find("translate", "good").card.name == "good"


class TestHomes:
    """Users without a home, homes of other users, and users who are not there."""

    @pytest.fixture
    def homeless(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("HOME", "XDG_DATA_HOME", "GENKIT_MODELS"):
            monkeypatch.delenv(name, raising=False)

        def nobody(self: Path) -> Path:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(Path, "expanduser", nobody)
        monkeypatch.setattr("os.path.expanduser", lambda path: path)

    def test_without_a_home_the_shipped_models_are_there(
        self, homeless: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def nowhere(*args: object, **options: object) -> Path:
            raise RuntimeError("could not determine the home directory")

        monkeypatch.setattr("platformdirs.user_data_path", nowhere)
        assert search_path() == shipped_models()
        with pytest.raises(ModelNotFoundError, match="you have no home folder"):
            user_models()

    def test_a_user_who_is_not_there(self) -> None:
        with pytest.raises(ModelNotFoundError, match="no model at ~nosuchuser/m: it is not a fol"):
            find("fill", "~nosuchuser/m")

    def test_the_variable_may_name_a_home(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", "/home/me")
        monkeypatch.setenv("GENKIT_MODELS", f"~/models{os.pathsep}~nosuchuser/m")
        assert search_path()[:2] == [Path("/home/me/models"), Path("~nosuchuser/m")]

    def test_a_place_that_may_not_be_searched_is_a_warning(
        self, models: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folders.write(models, "fill")
        glob = Path.glob

        def closed(self: Path, pattern: str) -> object:
            if self == user_models():
                raise PermissionError(13, "Permission denied", str(self))
            return glob(self, pattern)

        monkeypatch.setattr(Path, "glob", closed)
        with pytest.warns(
            GenkitWarning, match=r"no models are looked for in .*: Permission denied"
        ):
            assert find("fill").path == models / "fill" / "everyday"
