"""``genkit fill`` as a filter: what it reads, writes and says, and how it ends."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from shell import Run, genkit, pipeline
from small_bert import halved, perturbed, small_config, write_model

from genkit.cli.app import main
from genkit.streams import Streams

torch.set_num_threads(1)

DOG = "The [MASK] barked."


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = halved(perturbed(small_config()))
    return write_model(tmp_path_factory.mktemp("models") / "fill" / "small", network)


@pytest.fixture
def run(model: Path) -> Callable[..., Run]:
    def run(*args: str, stdin: bytes = b"") -> Run:
        return genkit("fill", "--model", str(model), "--threads", "1", *args, stdin=stdin)

    return run


def rows(out: str) -> list[list[str]]:
    return [line.split("\t") for line in out.splitlines()]


class TestAnswers:
    def test_five_rows_a_gap_best_first(self, run: Callable[..., Run]) -> None:
        code, out, err = run(DOG, "a ___ and a <mask>")
        assert (code, err) == (0, "")
        found = rows(out)
        assert [row[:2] for row in found] == [["1", "1"]] * 5 + [["2", "1"]] * 5 + [["2", "2"]] * 5
        for row in found:
            assert len(row) == 5
            assert 0 < float(row[2]) < 1
        for gap in (found[:5], found[5:10], found[10:]):
            values = [float(row[2]) for row in gap]
            assert values == sorted(values, reverse=True)
        for _, _, _, answer, text in found[:5]:
            assert text == f"The {answer} barked."

    def test_top(self, run: Callable[..., Run]) -> None:
        assert rows(run("--top", "2", DOG).out) == rows(run(DOG).out)[:2]

    def test_one_line_in_one_line_out(self, run: Callable[..., Run]) -> None:
        text = b"The ___ barked.\n\n \t\r\na ___\r\n___ end"
        code, out, err = run("--top", "1", stdin=text)
        assert (code, err) == (0, "")
        first, blank, space, second, last = out.split("\n")
        assert first.startswith("The ") and first.endswith(" barked.")
        assert (blank, space) == ("", " \t\r")
        assert second.startswith("a ") and second.endswith("\r")
        assert last.endswith(" end")
        assert "___" not in out

    def test_targets(self, run: Callable[..., Run]) -> None:
        code, out, _ = run("--targets", "dog, cats,moon", DOG)
        assert code == 0
        assert sorted(row[3] for row in rows(out)) == ["cats", "dog", "moon"]
        assert rows(run("--targets", "dog,cats,moon", "--top", "2", DOG).out) == rows(out)[:2]
        best = rows(out)[0][4]
        assert run("--targets", "dog,cats,moon", "--top", "1", DOG).out == f"{best}\n"

    def test_joint(self, run: Callable[..., Run]) -> None:
        code, out, _ = run("--joint", "--top", "3", "The ___ barked all ___")
        assert code == 0
        for number, probability, answers, text in rows(out):
            first, second = answers.split(" ")
            assert (number, text) == ("1", f"The {first} barked all {second}")
            assert 0 < float(probability) < 1
        filled = run("--joint", "--top", "1", "The ___ barked all ___").out
        assert filled == rows(out)[0][3] + "\n"

    def test_score(self, run: Callable[..., Run]) -> None:
        code, out, err = run("--score", stdin=b"the dog\n\nthe cat\tmoon\n")
        assert (code, err) == (0, "")
        first, blank, last = out.splitlines()
        assert float(first.split("\t")[0]) < 0
        assert first.endswith("\tthe dog")
        assert blank == "\t"
        assert last.split("\t", 1)[1] == "the cat\tmoon"


class TestJson:
    def test_the_same_keys_for_success_and_failure(self, run: Callable[..., Run]) -> None:
        code, out, _ = run("--json", "--targets", "dog,moon", stdin=b"a ___\n\nno\n\xff\n")
        good, blank, no_gap, broken = map(json.loads, out.splitlines())
        assert code == 1
        assert good.keys() == blank.keys() == no_gap.keys() == broken.keys()
        assert {a["answer"] for a in good["masks"][0]} == {"dog", "moon"}
        best = good["masks"][0][0]
        assert best["text"] == good["text"] == f"a {best['answer']}"
        assert 0 < best["probability"] < 1
        assert (good["line"], good["source"]) == (1, "a ___")
        assert (good["windowed"], good["error"]) == (False, None)
        assert (blank["masks"], blank["error"], blank["windowed"]) == (None, None, None)
        assert no_gap["error"].startswith("no mask")
        assert broken["error"].startswith("not UTF-8")

    def test_joint(self, run: Callable[..., Run]) -> None:
        code, out, _ = run("--json", "--joint", "--top", "2", stdin=b"a ___ ___\nno\n")
        good, bad = map(json.loads, out.splitlines())
        assert code == 1
        assert good.keys() == bad.keys()
        assert len(good["fillings"]) == 2
        best = good["fillings"][0]
        assert best["text"] == good["text"] == "a {} {}".format(*best["answers"])
        assert (bad["text"], bad["fillings"]) == (None, None)

    def test_score(self, run: Callable[..., Run]) -> None:
        code, out, _ = run("--json", "--score", stdin=b"the dogs\n\n\xff\n")
        good, blank, broken = map(json.loads, out.splitlines())
        assert code == 1
        assert good.keys() == blank.keys() == broken.keys()
        assert good["tokens"] == 3
        assert good["score"] < 0 < good["perplexity"]
        assert (blank["score"], blank["error"]) == (None, None)


class TestMessages:
    def test_a_line_without_a_gap_fails_alone(
        self, run: Callable[..., Run], tmp_path: Path
    ) -> None:
        code, out, err = run("--top", "1", stdin=b"nothing here\na ___\n")
        assert code == 1
        assert out.startswith("\na ")
        assert err == (
            "genkit: line 1: no mask: write [MASK], <mask> or ___ where a word is missing\n"
        )
        file = tmp_path / "in.txt"
        file.write_bytes(b"nothing")
        code, out, err = run("-i", str(file))
        assert (code, out) == (1, "1\t\t\t\t")
        assert err.startswith(f"genkit: {file}: line 1: no mask")

    @pytest.mark.parametrize("broken", [b"caf\xe9 ___", b"a\0 ___"])
    def test_a_line_that_cannot_be_read(self, run: Callable[..., Run], broken: bytes) -> None:
        code, out, err = run("--top", "1", stdin=b"a ___\n" + broken + b"\na ___\n")
        assert code == 1
        assert out.splitlines()[1] == ""
        assert len(out.splitlines()) == 3
        assert err.startswith("genkit: line 2: ")

    def test_a_long_line_has_a_window_and_a_note(self, run: Callable[..., Run]) -> None:
        code, out, err = run("--top", "1", "dog " * 60 + "___ end")
        assert code == 0
        assert out.startswith("dog " * 60) and out.endswith(" end\n")
        assert err == (
            "genkit: warning: line 1: longer than 46 tokens: only what is around each gap was read\n"
        )
        assert run("-q", "--top", "1", "dog " * 60 + "___ end") == (0, out, "")
        assert "around each token was read" in run("--score", "dog " * 60).err

    @pytest.mark.parametrize("options", [[], ["--joint"], ["--score"]])
    def test_a_line_of_unknown_words_is_warned_of(
        self, run: Callable[..., Run], options: list[str]
    ) -> None:
        warning = "genkit: warning: line 1: the model knows none of its words\n"
        code, _, err = run(*options, "猫 [MASK] 犬", "a [MASK] 犬")
        assert (code, err) == (0, warning)
        first, last = map(
            json.loads, run("--json", *options, "猫 ___ 犬", "a ___").out.splitlines()
        )
        assert (first["unknown"], last["unknown"]) == (True, False)

    def test_a_name_with_underscores_is_no_gap(self, run: Callable[..., Run]) -> None:
        code, out, err = run("--top", "1", "a snake_case___name ___ cat", "__init__")
        assert code == 1
        first, last = out.splitlines()
        assert first.startswith("a snake_case___name ") and last == ""
        assert err.startswith("genkit: line 2: no mask")

    def test_what_it_runs_on(self, run: Callable[..., Run]) -> None:
        err = run("-v", "--device", "cpu", DOG).err
        assert err == "genkit: small on cpu (asked for), int8, 1 thread(s)\n"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--score", "--joint"], "--score fills nothing"),
            (["--score", "--top", "3"], "--score fills nothing"),
            (["--joint", "--targets", "a"], "--targets are for one gap"),
            (["--targets", "a,,b"], "--targets has an empty word"),
            (["--targets", ""], "--targets has an empty word"),
            (["--targets", "猫"], "cannot spell the target '猫'"),
            (["--targets", "caf\udce9,dog"], "--targets is not UTF-8: byte 0xe9 at position 4"),
            (["--joint", "--top", "100000"], "at most 1024 joint fillings"),
            (["-i", "file"], "both TEXT and --input"),
            (["--top", "0"], "--top"),
            (["--precision", "bf16"], "has no bf16 graph"),
        ],
    )
    def test_what_makes_no_sense(
        self, run: Callable[..., Run], arguments: list[str], message: str
    ) -> None:
        code, out, err = run(*arguments, DOG)
        assert (code, out) == (2, "")
        assert message in err

    def test_no_model(self, models: Path) -> None:
        code, _, err = genkit("fill", DOG)
        assert code == 3
        assert err.startswith("genkit: ")


class TestManyGaps:
    def test_rows_are_written_as_they_come(self, model: Path) -> None:
        class Out(io.RawIOBase):
            largest = written = 0

            def write(self, data: Any) -> int:
                self.largest = max(self.largest, len(data))
                self.written += len(data)
                return len(data)

        line = b"a ___ " * 200
        out = Out()
        streams = Streams(io.BytesIO(line), out, io.StringIO())  # type: ignore[arg-type]
        assert main(["fill", "--threads", "1", "--model", str(model)], streams) == 0
        assert out.written > 900 * len(line)
        assert out.largest < 2 * len(line)

    def test_json_does_not_grow_with_the_square(self, run: Callable[..., Run]) -> None:
        few, more, many = (
            json.loads(run("--json", "a ___ " * count).out) for count in (64, 65, 260)
        )
        assert few["masks"][63][4]["text"].startswith("a ___ a ___")
        assert {answer["text"] for answers in more["masks"] for answer in answers} == {None}
        assert len(json.dumps(many)) < 5 * len(json.dumps(more))
        assert "___" not in many["text"]


class TestFiles:
    def test_in_and_out(self, run: Callable[..., Run], tmp_path: Path) -> None:
        source, target = tmp_path / "a.txt", tmp_path / "b.txt"
        source.write_bytes(b"a ___\r\nthe ___")
        assert run("--top", "1", "-i", str(source), "-o", str(target)) == (0, "", "")
        lines = target.read_bytes().split(b"\r\n")
        assert len(lines) == 2
        assert lines[1].startswith(b"the ")

    def test_an_empty_input_gives_nothing(self, run: Callable[..., Run]) -> None:
        assert run(stdin=b"") == (0, "", "")

    def test_a_result_does_not_depend_on_the_lines_around_it(self, run: Callable[..., Run]) -> None:
        lines = [f"the {'dog ' * (i % 9)}___ cat" for i in range(300)]
        together = run("--top", "1", stdin="\n".join(lines).encode()).out.splitlines()
        assert len(together) == 300
        for i in (0, 7, 150, 299):
            assert run("--top", "1", lines[i]).out.splitlines() == [together[i]]


def test_a_reader_that_leaves_ends_it_quietly(model: Path) -> None:
    fill = f"genkit fill --top 1 --threads 1 --model {model}"
    # `yes` is killed by the closed pipe, which is no failure here.
    code, out, err = pipeline(f"(yes 'the ___ barked' || true) | {fill} | head -2")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 2


def test_the_command_line_is_parsed_without_heavy_imports() -> None:
    from shell import python

    program = (
        "import sys; from genkit.cli.app import main; main(['fill', '--help'])\n"
        "heavy = {'numpy', 'onnxruntime', 'tokenizers', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    assert python(program).err == ""


def test_a_line_whose_result_is_too_large_to_write_fails_alone(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    from genkit.cli import fill as command

    json_line = command.json_line

    def narrow(record: Any) -> bytes:
        if len(record["masks"] or ()) > 2:
            raise MemoryError
        return json_line(record)

    monkeypatch.setattr(command, "json_line", narrow)
    code, out, err = run("--json", "a ___ ___ ___", "a ___")
    bad, good = map(json.loads, out.splitlines())
    assert (code, err) == (1, "genkit: line 1: does not fit into memory\n")
    assert (bad["masks"], bad["error"]) == (None, "does not fit into memory")
    assert good["error"] is None
