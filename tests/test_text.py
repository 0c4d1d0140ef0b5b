"""Lines, sentences and tokens: whatever is cut is cut without loss."""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import shouting_model
from hypothesis import given, settings
from hypothesis import strategies as st

from genkit.errors import InputError, ModelError
from genkit.text import LONGEST_LINE, Line, LineReader, Tokenizer, read_lines, split_sentences


def lines_of(data: bytes) -> list[Line]:
    return list(read_lines(io.BytesIO(data)))


@pytest.mark.parametrize("text", ["a line", "eine größere Zeile", "猫と犬", "😀", ""])
def test_a_line_weighs_its_bytes(text: str) -> None:
    assert Line(1, text, "\n").weight - Line(1, "", "\n").weight == len(text.encode())


class TestReadLines:
    def test_line_ends_are_told_apart(self) -> None:
        assert lines_of(b"a\nb\r\n\nc") == [
            Line(1, "a", "\n"),
            Line(2, "b", "\r\n"),
            Line(3, "", "\n"),
            Line(4, "c", ""),
        ]

    @settings(deadline=None)
    @given(st.binary())
    def test_good_lines_and_their_ends_are_the_input(self, data: bytes) -> None:
        lines = lines_of(data)
        assert [line.number for line in lines] == list(range(1, len(lines) + 1))
        if not any(line.error for line in lines):
            text = "".join(line.text + line.end for line in lines)
            assert text.encode() == data.removeprefix(b"\xef\xbb\xbf")

    def test_nothing_has_no_lines(self) -> None:
        assert lines_of(b"") == []

    def test_only_line_feeds_end_a_line(self) -> None:
        text = "a\rb\x0bc\x0cd\x1ee\x85f\u2028g\r"
        assert lines_of(text.encode()) == [Line(1, text, "")]

    def test_a_byte_order_mark_is_left_out_at_the_beginning_only(self) -> None:
        mark = "\ufeff".encode()
        assert [line.text for line in lines_of(mark + b"a\n" + mark + b"b")] == ["a", "\ufeffb"]

    @pytest.mark.parametrize(
        ("data", "error"),
        [
            (b"caf\xe9 au lait", "not UTF-8: byte 0xe9 at position 4"),
            (b"\xed\xa0\x80", "not UTF-8: byte 0xed at position 1"),  # half of a surrogate pair
            (b"ab\0c", "NUL byte at position 3"),
        ],
    )
    def test_a_broken_line_says_what_is_wrong_and_the_others_are_read(
        self, data: bytes, error: str
    ) -> None:
        before, broken, after = lines_of(b"one\n" + data + b"\r\nthree\n")
        assert (before, after) == (Line(1, "one", "\n"), Line(3, "three", "\n"))
        assert broken == Line(2, data.decode(errors="replace"), "\r\n", error)

    def test_a_line_may_be_long(self) -> None:
        assert lines_of(b"x" * 1_000_000 + b"\ny") == [
            Line(1, "x" * 1_000_000, "\n"),
            Line(2, "y", ""),
        ]

    def test_a_line_without_end_is_given_up_and_the_next_is_read(self) -> None:
        data = io.BytesIO(b"x" * (LONGEST_LINE + 1) + b"\nnext\n")
        first, second = read_lines(data)
        assert first == Line(1, "", "\n", "longer than 64 MiB")
        assert second == Line(2, "next", "\n")

    def test_a_stream_that_cannot_be_read_is_an_input_error(self) -> None:
        class Broken(io.RawIOBase):
            def read(self, size: int = -1) -> bytes:
                raise OSError(5, "Input/output error")

        with pytest.raises(InputError, match="cannot read: Input/output error"):
            list(read_lines(Broken()))  # type: ignore[arg-type]

    def test_a_pipe_that_does_not_block_is_waited_for(self) -> None:
        end, other = os.pipe()
        os.set_blocking(end, False)
        threading.Timer(0.05, lambda: (os.write(other, b"late\n"), os.close(other))).start()
        with open(end, "rb") as stream:
            assert list(read_lines(stream)) == [Line(1, "late", "\n")]


def texts(lines: list[Line] | None) -> list[str]:
    assert lines is not None
    return [line.text for line in lines]


class TestLineReader:
    def test_lines_come_in_order_until_the_end(self) -> None:
        reader = LineReader(io.BytesIO(b"1\n2\n3"))
        lines = list(itertools.chain(*iter(lambda: reader.take(1000), None)))
        assert [line.text for line in lines] == ["1", "2", "3"]
        assert reader.take(1000) is None
        assert reader.take(1000, wait=False) is None

    def test_what_waits_is_taken_at_once_up_to_a_limit(self) -> None:
        asked_again = threading.Event()  # so all of the first chunk waits

        class Stream(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                data = super().read(size)
                if not data:
                    asked_again.set()
                return data

        reader = LineReader(Stream(b"line\n" * 100))
        assert asked_again.wait(10)
        a_line = Line(1, "line", "\n").weight
        assert len(texts(reader.take(10 * a_line))) == 10
        assert len(texts(reader.take(1000 * a_line))) == 90

    def test_a_line_over_the_limit_comes_alone(self) -> None:
        reader = LineReader(io.BytesIO(b"a" * 100_000 + b"\nb\n"), room=1000)
        assert texts(reader.take(1000)) == ["a" * 100_000]
        assert texts(reader.take(1000)) == ["b"]

    def test_a_line_is_there_as_soon_as_it_was_written(self) -> None:
        end, other = os.pipe()
        with open(end, "rb") as stream:
            reader = LineReader(stream)
            os.write(other, b"first\nhalf")
            assert texts(reader.take(1000)) == ["first"]
            assert reader.take(1000, wait=False) == []
            os.write(other, b" second\n")
            assert texts(reader.take(1000)) == ["half second"]
            os.close(other)
            assert reader.take(1000) is None

    @pytest.mark.parametrize("line", ["", "line", "x" * 1000])
    def test_an_endless_stream_fills_no_more_than_the_room(self, line: str) -> None:
        class Lines(io.RawIOBase):
            read_so_far = 0

            def read(self, size: int = -1) -> bytes:
                self.read_so_far += 10
                return f"{line}\n".encode() * 10

        stream = Lines()
        room = 100_000
        reader = LineReader(stream, room=room)  # type: ignore[arg-type]
        taken = 0
        for _ in range(20):
            taken += len(texts(reader.take(10_000)))
            time.sleep(0.005)
            waiting = stream.read_so_far - taken
            assert waiting <= room / Line(1, line, "\n").weight + 20

    def test_an_error_comes_after_the_lines_before_it(self) -> None:
        class Breaks(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                if data := super().read(size):
                    return data
                raise OSError(5, "Input/output error")

        reader = LineReader(Breaks(b"one\ntwo\nthr"))
        assert texts(reader.take(10)) + texts(reader.take(10)) == ["one", "two"]
        with pytest.raises(InputError):
            reader.take(10)

    def test_a_program_can_end_while_the_reader_waits(self) -> None:
        program = "import sys; from genkit.text import LineReader; LineReader(sys.stdin.buffer)"
        end, other = os.pipe()
        done = subprocess.run([sys.executable, "-c", program], stdin=end, capture_output=True)
        os.close(end)
        os.close(other)
        assert (done.returncode, done.stderr) == (0, b"")


class TestSplitSentences:
    @pytest.mark.parametrize(
        ("language", "sentences"),
        [
            ("en", ["Dr. Smith arrived at 3 p.m.  ", "He sat down."]),
            ("en", ["Mr. and Mrs. Jones live in the U.S. now. ", "They like it."]),
            ("en", ["Is it true? ", "Yes! ", "It is."]),
            ("en", ['He said "Stop." ', "Then he left."]),
            ("en", ["Wait... what? ", "No."]),
            ("en", ["It costs 3.50 euros, i.e. nothing. ", "Take it."]),
            ("en", ["One sentence"]),
            ("en", ["Read node.js.Then at www.example.com. ", "Good."]),
            ("de", ["Dr. Schmidt kommt am 5. Oktober. ", "Er isst z. B. Brot."]),
            ("zh", ["你好。", "再见。"]),
        ],
    )
    def test_sentences(self, language: str, sentences: list[str]) -> None:
        assert split_sentences("".join(sentences), language) == sentences

    def test_tabs_and_line_breaks_always_part(self) -> None:
        assert split_sentences("a\tb\t\tc\n\nd\u2028e", "en") == [
            "a\t",
            "b\t\t",
            "c\n\n",
            "d\u2028",
            "e",
        ]

    @pytest.mark.parametrize("text", ["", " ", "\t", "  \t "])
    def test_blank_text_has_no_words(self, text: str) -> None:
        assert "".join(split_sentences(text, "en")) == text

    @settings(max_examples=500, deadline=None)
    @given(
        st.lists(
            st.sampled_from([*'aBé1.!?“”()"*-😀。 \t\r\u00a0\u2029\u200b\u0301', "J.", "Dr.", "  "])
            | st.characters(exclude_categories=["Cs"])
        ).map("".join),
        st.sampled_from(["en", "de", "zh", "xx"]),
    )
    def test_nothing_is_lost(self, text: str, language: str) -> None:
        assert "".join(split_sentences(text, language)) == text

    def test_a_long_text_takes_no_longer_than_its_length(self) -> None:
        begun = time.perf_counter()
        assert len(split_sentences("It is so. " * 100_000, "en")) == 100_000
        assert time.perf_counter() - begun < 5  # 0.1 s; anything quadratic takes minutes

    def test_the_library_is_not_loaded_for_one_sentence(self) -> None:
        program = (
            "import sys; from genkit.text import split_sentences as split\n"
            "split('Good morning, Dr Smith, at 3:30.', 'en')\n"
            "assert 'sentencex' not in sys.modules\n"
            "split('One. Two.', 'en')\n"
            "assert 'sentencex' in sys.modules\n"
        )
        subprocess.run([sys.executable, "-c", program], check=True)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    shouting_model.tokenizer().save(str(path))
    return Tokenizer(path)


class TestTokenizer:
    def test_any_text_survives(self, tokenizer: Tokenizer) -> None:
        texts = ["Hello, world.", "Łódź 東京 😀👩‍👩‍👧", "x" * 1000, ""]
        assert tokenizer.decode(tokenizer.encode(texts)) == texts

    def test_only_a_whole_text_has_an_end(self, tokenizer: Tokenizer) -> None:
        assert tokenizer.encode(["Hi"]) == [[*tokenizer.encode_start("Hi"), shouting_model.EOS]]

    def test_what_is_decoded_is_one_line(self, tokenizer: Tokenizer) -> None:
        ids = tokenizer.encode_start("a\nb\r\0c\td\u2028e\x85f")
        assert tokenizer.decode([ids]) == ["a b  c d e f"]

    @pytest.mark.parametrize("content", [None, "{}", "not JSON"])
    def test_a_broken_file_is_a_model_error(self, tmp_path: Path, content: str | None) -> None:
        path = tmp_path / "tokenizer.json"
        if content is not None:
            path.write_text(content)
        with pytest.raises(ModelError, match=r"tokenizer\.json is no tokeniser"):
            Tokenizer(path)


class TestSplit:
    """The stand-in has a token for each character, one before the first and one at the end."""

    def test_a_text_that_fits_is_left_alone(self, tokenizer: Tokenizer) -> None:
        assert tokenizer.split("abcdefgh", 10) == ["abcdefgh"]

    def test_it_is_cut_after_a_clause_near_the_middle(self, tokenizer: Tokenizer) -> None:
        text = "a bb, ccc dddd, eeeee; ffff gg, hh i"
        assert tokenizer.split(text, 30) == ["a bb, ccc dddd, ", "eeeee; ffff gg, hh i"]

    def test_or_else_at_a_space(self, tokenizer: Tokenizer) -> None:
        assert tokenizer.split("aaaa bbbb  cccc dddd", 14) == ["aaaa bbbb  ", "cccc dddd"]

    def test_or_else_between_characters(self, tokenizer: Tokenizer) -> None:
        pieces = tokenizer.split("😀" * 10, 20)  # 4 tokens each
        assert "".join(pieces) == "😀" * 10
        assert max(map(len, pieces)) <= 4

    def test_a_character_is_never_cut(self, tokenizer: Tokenizer) -> None:
        assert tokenizer.split("😀é", 4) == ["😀", "é"]

    @settings(max_examples=200, deadline=None)
    @given(words=st.lists(st.sampled_from(["a", "bb", " ", ", ", "😀", "é", "e\u0301", "ccccc"])))
    def test_pieces_fit_and_nothing_is_lost(self, tokenizer: Tokenizer, words: list[str]) -> None:
        text = "".join(words)
        pieces = tokenizer.split(text, 16)
        assert "".join(pieces) == text
        assert all(len(ids) <= 16 for ids in tokenizer.encode(pieces))

    def test_a_megabyte_without_a_space(self, tokenizer: Tokenizer) -> None:
        pieces = tokenizer.split("x" * 1_000_000, 128)
        assert sum(map(len, pieces)) == 1_000_000
        assert max(map(len, pieces)) <= 126
