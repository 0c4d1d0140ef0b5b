"""The card's schema: what each task needs, and what is said of a card that does not fit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import folders
import pytest

from genkit.card_json import parse_card, read_card
from genkit.errors import CardError
from genkit.registry import TASKS

Path_ = tuple[str | int, ...]

# What the cards below have although a card may do without it: (task, or * for all; field).
OPTIONAL = {
    ("*", "origin.limitations"),
    ("*", "tags"),
    ("*", "files"),
    ("translate", "export.tolerances"),
    ("translate", "export.tolerances.int8"),
    ("*", "default_precision.cuda"),
    ("*", "default_precision.openvino"),
    ("*", "text.tokenizer.target"),
    ("*", "text.suppress_ids"),
    ("*", "text.language_tokens"),
    ("*", "text.longest"),
    ("*", "text.stand_ins"),
    ("*", "text.doubtful"),
    ("*", "image.pad"),
    ("cyclegan", "image.channels"),
    ("*", "latent.classes"),
    ("classify", "export.differences.classify.bf16"),
    ("translate", "graphs.translate.fp32"),
}


def walk(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """The paths of all values of a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in items:
        yield (*path, key)
        if isinstance(child, dict | list):
            yield from walk(child, (*path, key))


def spell(path: Path_) -> str:
    """A path as an error spells it: ``origin.data[0].name``."""
    parts = (f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return "".join(parts).removeprefix(".")


def parent(data: Any, path: Path_) -> Any:
    for key in path[:-1]:
        data = data[key]
    return data


def free(path: Path_) -> bool:
    """Whether a field of ``origin`` or ``export`` is of the kind that nobody asks for."""
    return path[0] == "origin" and (path[1:2] in (("recipe",), ("arguments",)) or "command" in path)


def required_fields() -> list[Any]:
    """All but those that may be left out, and what is inside them."""

    def is_optional(task: str, path: Path_) -> bool:
        name = spell(path)
        return (
            isinstance(path[-1], int)  # lists may be shorter
            or ("*", name) in OPTIONAL
            or (task, name) in OPTIONAL
            or name.startswith(("text.language_tokens.", "text.stand_ins."))
            or re.fullmatch(r"export\.differences\.\w+\.\w+", name) is not None
            or "attention" in path
        )

    return [
        pytest.param(task, path, id=f"{task}:{spell(path)}")
        for task in TASKS
        for path in walk(folders.card(task))
        if not free(path) and not is_optional(task, path)
    ]


def _at(task: str, path: Path_) -> Any:
    return parent(folders.card(task), path)[path[-1]]


@pytest.mark.parametrize("task", TASKS)
def test_there_is_a_card_for_every_task_and_it_is_read_whole(task: str) -> None:
    data = folders.card(task)
    card = parse_card(data)
    assert (card.task, card.name, card.format) == (task, data["name"], 1)
    assert card.origin == data["origin"]
    assert card.export == data["export"]


def test_values_become_what_programs_use() -> None:
    card = parse_card(folders.card("translate"))
    assert card.graphs["translate"]["int8"].file == "translate.int8.onnx"
    assert card.interface["translate"].outputs[0].shape == ("batch", "beam_size", "target")
    assert card.default_precision == {"cpu": "int8", "cuda": "fp32"}
    assert card.text is not None
    assert card.text.tokenizer.target == "tokenizer.target.json"
    assert card.text.languages is not None
    assert card.text.languages.target == ("de", "fr")
    assert card.text.language_tokens == {"de": 4, "fr": 5}
    assert card.files() == (
        "translate.fp32.onnx",
        "translate.int8.onnx",
        "tokenizer.json",
        "tokenizer.target.json",
    )
    picture = parse_card(folders.card("classify")).image
    assert picture is not None
    assert (picture.resize.size, picture.resize.crop_pct) == ((224, 224), 0.9)
    assert picture.labels == ("cat", "dog", "ship")
    latent = parse_card(folders.card("sample")).latent
    assert latent is not None
    assert (latent.shape, latent.classes) == ((128,), ("airplane", "ship"))
    assert latent.default_truncation == 1


def test_a_generator_may_have_a_truncation_of_its_own() -> None:
    data = folders.card("sample")
    data["latent"]["default_truncation"] = 0.5
    latent = parse_card(data).latent
    assert latent is not None
    assert latent.default_truncation == 0.5
    data["latent"]["truncation"] = "none"
    with pytest.raises(CardError, match=r"latent\.default_truncation: "):
        parse_card(data)


def test_what_is_left_out_has_a_meaning() -> None:
    data = folders.card("translate")
    for field in ("suppress_ids", "language_tokens"):
        del data["text"][field]
    del data["text"]["tokenizer"]["target"]
    del data["tags"]
    card = parse_card(data)
    assert card.text is not None
    assert (card.tags, card.text.suppress_ids, card.text.language_tokens) == ((), (), {})
    assert card.text.tokenizer.target == card.text.tokenizer.source


@pytest.mark.parametrize(("task", "path"), required_fields())
def test_a_missing_field_is_named(task: str, path: Path_) -> None:
    data = folders.card(task)
    del parent(data, path)[path[-1]]
    with pytest.raises(CardError) as caught:
        parse_card(data)
    # Nothing is left to name if the only graph of a role goes: the role is then empty.
    assert re.match(
        rf"{re.escape(spell(path))}: is missing|{re.escape(spell(path[:-1]))}: must not be empty",
        caught.value.message,
    ) or _breaks_a_reference(path, caught.value.message)


def _breaks_a_reference(path: Path_, message: str) -> bool:
    """A graph that goes is missed first by what speaks of it."""
    return path[0] == "graphs" and message.startswith(("default_precision", "export.differences"))


@pytest.mark.parametrize(("task", "name"), sorted(OPTIONAL))
def test_what_may_be_left_out_is_in_a_card_and_may_be_left_out(task: str, name: str) -> None:
    path = tuple(name.split("."))
    cards = [folders.card(t) for t in TASKS if task in ("*", t)]
    holders = [data for data in cards if path in walk(data)]
    assert holders, "no fixture card shows this field"
    for data in holders:
        _leave_out(data, path)
        parse_card(data)


def _leave_out(data: Any, path: tuple[str, ...]) -> None:
    del parent(data, path)[path[-1]]
    if path[0] == "graphs":  # and what speaks of the graph
        data["export"]["differences"][path[1]].pop(path[2], None)
    if path[-1] in ("fp32", "bf16"):
        defaults = data["default_precision"]
        data["default_precision"] = {"cpu": defaults["cpu"]}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("wrong", [None, [[]], {"": {}}, "\0", -1e300, True], ids=repr)
def test_a_field_of_the_wrong_kind_is_named(task: str, wrong: Any) -> None:
    paths = [p for p in walk(folders.card(task)) if not (free(p) or _fits(p, _at(task, p), wrong))]
    assert len(paths) > 20
    for path in paths:
        data = folders.card(task)
        parent(data, path)[path[-1]] = wrong
        with pytest.raises(CardError) as caught:
            parse_card(data)
        assert caught.value.message.startswith(spell(path))


def _fits(path: Path_, right: Any, wrong: Any) -> bool:
    """Whether the wrong value is a right one here."""
    if isinstance(wrong, float):
        return path[-1] == "value"  # a figure may be any number
    if isinstance(wrong, str) and "shape" in path[:-1]:
        return "latent" not in path  # a dimension may have a name
    return isinstance(wrong, str | bool) and type(wrong) is type(right)


@pytest.mark.parametrize("task", TASKS)
def test_an_unknown_field_is_refused_wherever_a_misspelling_would_be_ignored(task: str) -> None:
    objects = [(), *(p for p in walk(folders.card(task)) if isinstance(_at(task, p), dict))]
    closed = [path for path in objects if not _is_open(path)]
    assert len(closed) > 5
    for path in closed:
        data = folders.card(task)
        parent(data, (*path, "precison"))["precison"] = 1
        with pytest.raises(CardError, match=f"^{re.escape(spell((*path, 'precison')))}: "):
            parse_card(data)


def _is_open(path: Path_) -> bool:
    """Whether the keys of an object are anyone's."""
    return (path[:1] in (("origin",), ("export",)) and "differences" not in path) or path == (
        "text",
        "language_tokens",
    )


def test_a_misspelling_is_recognised() -> None:
    data = folders.card("translate")
    data["text"]["supress_ids"] = []
    with pytest.raises(CardError, match=r"text\.supress_ids: unknown field") as caught:
        parse_card(data)
    assert caught.value.hint == "did you mean 'suppress_ids'?"


@pytest.mark.parametrize("name", ["origin", "export"])
def test_origin_and_export_may_hold_more(name: str) -> None:
    data = folders.card("translate")
    data[name]["machine"] = "a fast one"
    assert getattr(parse_card(data), name)["machine"] == "a fast one"


@pytest.mark.parametrize(
    "file",
    [
        "../graph.onnx",
        "/etc/passwd",
        "a/../../b",
        "./a",
        "a//b",
        "..",
        r"..\a",
        r"C:\a",
        "c:a",
        "a\0",
    ],
)
def test_a_file_outside_the_folder_is_refused(file: str) -> None:
    data = folders.card("translate")
    data["graphs"]["translate"]["fp32"]["file"] = file
    with pytest.raises(CardError, match=r"^graphs\.translate\.fp32\.file: must name a file inside"):
        parse_card(data)


@pytest.mark.parametrize("name", ["", "a/b", "a b", "../a", ".hidden", "-x", "a\n"])
def test_a_name_is_usable_as_a_folder_and_as_an_argument(name: str) -> None:
    data = folders.card("translate")
    data["name"] = name
    with pytest.raises(CardError, match=r"^name: must"):
        parse_card(data)


def test_a_newer_format_is_refused_whatever_else_is_in_it() -> None:
    with pytest.raises(
        CardError, match=r"format: is 2, newer than this genkit reads \(1\)"
    ) as error:
        parse_card({"format": 2, "task": "dream"})
    assert error.value.hint == "pip install --upgrade genkit-onnx"


def test_the_default_must_be_a_graph_that_is_there() -> None:
    data = folders.card("translate")
    data["default_precision"]["cpu"] = "bf16"
    with pytest.raises(CardError, match=r"^default_precision\.cpu: must be one of: fp32, int8"):
        parse_card(data)


def test_bf16_needs_no_file_but_a_measurement_and_a_tolerance() -> None:
    card = parse_card(folders.card("classify"))
    assert "bf16" not in card.graphs["classify"]
    assert card.precisions("classify", "openvino") == ("fp32", "bf16")
    assert card.precisions("classify", "cpu") == ("fp32",)
    assert card.precisions("attention", "openvino") == ("fp32",)

    data = folders.card("classify")
    del data["export"]["differences"]["classify"]["bf16"]
    with pytest.raises(CardError, match=r"^default_precision\.openvino: must be one of: fp32; is"):
        parse_card(data)
    del data["default_precision"]["openvino"]
    assert parse_card(data).precisions("classify", "openvino") == ("fp32",)


def test_openvino_is_not_for_text() -> None:
    data = folders.card("translate")
    assert parse_card(data).precisions("translate", "openvino") == ()
    data["default_precision"]["openvino"] = "fp32"
    with pytest.raises(CardError, match=r"^default_precision\.openvino: "):
        parse_card(data)


def test_a_task_has_its_own_section() -> None:
    data = folders.card("cyclegan")
    data["latent"] = folders.card("sample")["latent"]
    del data["image"]
    with pytest.raises(CardError, match=r"^image: is missing"):
        parse_card(data)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b'{"format": "\xff"}', "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "must be an object, is a list"),
        (b"{}", "format: is missing"),
        (b'{"format": 1}', "task: is missing"),
    ],
)
def test_a_file_that_is_no_card_is_refused_in_one_line(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    path = tmp_path / "model.json"
    path.write_bytes(content)
    with pytest.raises(CardError) as caught:
        read_card(path)
    assert caught.value.message.startswith(str(path))
    assert problem in caught.value.message
    assert "\n" not in caught.value.message


def test_a_card_that_is_read_from_a_file_names_the_file_and_the_field(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    data = folders.card("fill")
    data["text"]["pad_id"] = -1
    path.write_text(json.dumps(data))
    with pytest.raises(CardError) as caught:
        read_card(path)
    assert caught.value.message == f"{path}: text.pad_id: must be at least 0, is -1"


def test_the_families_of_stand_ins_are_those_that_there_are() -> None:
    from genkit.card_json import STAND_INS
    from genkit.text.stand_ins import FAMILIES

    assert tuple(FAMILIES) == STAND_INS


def test_what_a_translation_model_was_measured_at_may_be_missing() -> None:
    data = folders.card("translate")
    text = parse_card(data).text
    assert text is not None and text.doubtful is not None
    assert (text.longest, text.stand_ins) == (96, {"letters": 0.98, "hash": 0.9})
    assert text.doubtful.length_ratio == (0.4, 2.5)
    for field in ("longest", "stand_ins", "doubtful"):
        del data["text"][field]
    old = parse_card(data).text
    assert old is not None and (old.longest, old.stand_ins, old.doubtful) == (None, None, None)


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("stand_ins", {"dollar": 1.0}, "text.stand_ins.dollar: must be one of"),
        ("stand_ins", {"at": 2}, "text.stand_ins.at: must be from 0 to 1"),
        ("longest", 2, "text.longest: must be at least 8"),
        ("doubtful", {"log_probability": 1, "length_ratio": [0, 1]}, "from -100 to 0"),
        ("doubtful", {"log_probability": -1, "length_ratio": [1]}, "must be 2 numbers"),
        ("doubtful", {"log_probability": -1, "length_ratio": [2, 1]}, "length_ratio"),
    ],
)
def test_what_was_measured_is_checked(field: str, value: Any, problem: str) -> None:
    data = folders.card("translate")
    data["text"][field] = value
    with pytest.raises(CardError, match=re.escape(problem)):
        parse_card(data)


@pytest.mark.parametrize("channels", [0, 1, 2, 5])
def test_a_graph_takes_colours_or_colours_and_alpha(channels: int) -> None:
    data = folders.card("cyclegan")
    data["image"]["channels"] = channels
    with pytest.raises(CardError, match=r"^image\.channels: must be 3 or 4"):
        parse_card(data)


def test_files_are_told_of_once_and_lie_inside() -> None:
    facts = {"size": 1, "sha256": "0" * 64}
    for name, message in (
        ("translate.fp32.onnx", "files: translate.fp32.onnx is a graph"),
        ("../a", "files.../a: must name a file inside"),
    ):
        data = folders.card("translate")
        data["files"][name] = facts
        with pytest.raises(CardError, match=f"^{re.escape(message)}"):
            parse_card(data)
    data = folders.card("translate")
    del data["files"]["tokenizer.json"]
    with pytest.raises(CardError, match=r"^files\.tokenizer\.json: is missing"):
        parse_card(data)
