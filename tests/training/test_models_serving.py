"""Classifier and Generator do exactly what their bundle says, on graphs whose answers can be computed by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from models.bundle import NumberInput, load_manifest
from models.classifier import Classifier
from models.generator import Generator
from models.session import Execution
from models.tagger import Tagger
from schemas.errors import ConfigurationError
from tests.training.tiny_bundle import WORDS, classifier_graph, decoder_graph, encoder_graph, tokenizer, write_bundle

#: calm counts for the first class, pain for the second, fever against both; specials for nothing.
ROWS = [[0.0, 0.0]] * 4 + [[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]
NUMBERS = (NumberInput("8867-4", "/min", 90.0, 25.0, 20.0, 300.0), NumberInput("8310-5", "Cel", 37.0, 1.0, 25.0, 44.0))


def classifier(folder: Path, execution: Execution | None = None, **fields: Any) -> Classifier:
    numbers = bool(fields.get("numbers"))
    inputs = ("input_ids", "attention_mask", *(("numbers", "numbers_mask") if numbers else ()))
    graph = classifier_graph(ROWS, [[1.0, 0.0], [0.0, 1.0]] if numbers else None)
    keys = write_bundle(folder, {"model.onnx": graph, "tokenizer.json": tokenizer()}, **{"inputs": inputs} | fields)
    return Classifier.load(folder, execution=execution, trusted_keys=keys)


def sigmoid(x: float) -> float:
    return round(1 / (1 + math.exp(-x)), 4)


def test_probabilities_of_classes_that_do_and_do_not_exclude_each_other(tmp_path: Path) -> None:
    """Sigmoid or softmax of the logits over the temperature."""
    with classifier(tmp_path / "many", multi_label=True, temperature=2.0, thresholds={"a": 0.8}) as many:
        answer = many.classify("calm calm pain")
        assert answer == {"a": sigmoid(1.0), "b": sigmoid(0.5)}
        assert many.labels_of(answer) == ("b",)
        assert many.labels_of({"a": 0.8, "b": 0.49}) == ("a",)
    with classifier(tmp_path / "one", temperature=2.0) as one:
        answer = one.classify("calm calm pain")
        assert answer["a"] == sigmoid(0.5)
        assert sum(answer.values()) == pytest.approx(1)
        assert one.labels_of(answer) == ("a",)


def test_long_texts_are_read_in_windows(tmp_path: Path) -> None:
    """Independent classes take their most certain window; exclusive ones the mean of the logits, weighted by length."""
    text = "calm " * 6 + "pain pain"  # windows of six and of two words
    with classifier(tmp_path / "many", multi_label=True) as many:
        assert many.classify(text) == {"a": sigmoid(6.0), "b": sigmoid(2.0)}
    with classifier(tmp_path / "one") as one:
        assert one.logits(text).tolist() == [[6.0, 0.0], [0.0, 2.0]]
        assert one.classify(text)["a"] == sigmoid((6 * 6 - 2 * 2) / 8)


def test_numbers_are_standardised_clipped_and_may_be_missing(tmp_path: Path) -> None:
    """Deviations from the mean, at most six; what is missing or no measurement of a living patient counts for nothing."""
    with classifier(tmp_path / "b", multi_label=True, numbers=NUMBERS) as opened:
        assert opened.classify("", (115.0, 36.0)) == {"a": sigmoid(1.0), "b": sigmoid(-1.0)}
        assert opened.classify("calm", (300.0, 44.0)) == {"a": sigmoid(1 + 6.0), "b": sigmoid(6.0)}
        nothing = {"a": 0.5, "b": 0.5}
        for absent in [(math.nan, math.nan), (19.9, 44.1), (math.inf, -math.inf)]:
            assert opened.classify("", absent) == nothing
        assert opened.classify("") == nothing
        assert opened.classify_many(["", "calm"])[1] == {"a": sigmoid(1.0), "b": 0.5}
        for wrong in [(), (90.0,), (90.0, 37.0, 1.0)]:
            with pytest.raises(ValueError, match="2 values expected"):
                opened.classify("", wrong)
        with pytest.raises(ValueError, match="2 texts and 1 rows"):
            opened.classify_many(["", ""], [(90.0, 37.0)])
    with classifier(tmp_path / "without") as without, pytest.raises(ValueError, match="0 values expected"):
        without.classify("calm", (90.0,))


def test_company_and_threads_change_nothing(tmp_path: Path) -> None:
    """Every text gets the bytes that it gets alone, in any order, on any number of threads; long, empty and unknown ones too."""
    texts = ["calm pain", "", "fever " * 50, "unknown words", "pain " * 7]
    rows = [(70.0 + k, math.nan) for k in range(len(texts))]
    with classifier(tmp_path / "b", Execution(threads=3), multi_label=True, numbers=NUMBERS) as opened:
        alone = [opened.classify(text, row) for text, row in zip(texts, rows, strict=True)]
        assert opened.classify_many(texts, rows) == alone
        assert opened.classify_many(texts[::-1], rows[::-1]) == alone[::-1]
        assert opened.classify_many([]) == []


PIECES = ("<pad>", "</s>", "<unk>", "<x>", "one", "two", "three")
SILENT = [[0.0] * len(PIECES)] * len(PIECES)


def generator(
    folder: Path, *, follows: dict[str, str], states: list[list[float]] = SILENT, most: int = 5, **files: bytes
) -> Path:
    """A bundle whose decoder writes what follows what; returns its keys."""
    table = [[9.0 if follows.get(last) == word else 0.0 for word in PIECES] for last in PIECES]
    made = {"encoder.onnx": encoder_graph(states), "decoder.onnx": decoder_graph(table), "tokenizer.json": tokenizer(PIECES)}
    return write_bundle(
        folder, made | files, task="text-generation", family="t5", labels=(), max_new_tokens=most, window_tokens=128
    )


CHAIN = {"<pad>": "one", "one": "two", "two": "</s>"}


def test_greedy_text_ends_where_the_model_ends_it(tmp_path: Path) -> None:
    """The likeliest piece each time, from the padding piece on; the end is not written."""
    keys = generator(tmp_path / "b", follows=CHAIN)
    with Generator.load(tmp_path / "b", trusted_keys=keys) as opened:
        assert opened.generate("three") == "one two"
        assert opened.generate("") == "one two"
        assert opened.generate("three " * 5000) == "one two"
        assert opened.version.startswith("tiny@1.0.0#")


def test_a_text_without_an_end_is_cut(tmp_path: Path) -> None:
    """No more than max_new_tokens pieces, whatever the model wants."""
    keys = generator(tmp_path / "b", follows={"<pad>": "one", "one": "one"}, most=4)
    with Generator.load(tmp_path / "b", trusted_keys=keys) as opened:
        assert opened.generate("three") == "one one one one"


def test_what_is_written_depends_on_the_source(tmp_path: Path) -> None:
    """The encoder's states reach every step of the decoder."""
    states = [[0.0] * len(PIECES) for _ in PIECES]
    states[PIECES.index("three")][PIECES.index("</s>")] = 50.0
    keys = generator(tmp_path / "b", follows=CHAIN, states=states)
    with Generator.load(tmp_path / "b", trusted_keys=keys) as opened:
        assert opened.generate("three") == ""
        assert opened.generate("two") == "one two"


def test_one_flipped_byte_in_either_graph_is_refused_by_name(tmp_path: Path) -> None:
    """Both graphs are pinned, and both are part of the version."""
    keys = generator(tmp_path / "b", follows=CHAIN)
    other = generator(tmp_path / "c", follows={})
    one, two = load_manifest(tmp_path / "b", trusted_keys=keys), load_manifest(tmp_path / "c", trusted_keys=other)
    assert one.files["encoder.onnx"] == two.files["encoder.onnx"]
    assert one.model_sha256 != two.model_sha256
    for name in ("encoder.onnx", "decoder.onnx"):
        content = (tmp_path / "b" / name).read_bytes()
        (tmp_path / "b" / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(ConfigurationError, match=name):
            Generator.load(tmp_path / "b", trusted_keys=keys)
        (tmp_path / "b" / name).write_bytes(content)


def test_bundles_open_only_as_what_they_are(tmp_path: Path) -> None:
    """A generator is no classifier and a classifier no tagger, and none pretends to have found a GPU."""
    keys = generator(tmp_path / "b", follows=CHAIN)
    for kind in (Classifier, Tagger):
        with pytest.raises(ConfigurationError, match="text-generation"):
            kind.load(tmp_path / "b", trusted_keys=keys)
    for execution in (Execution(require_gpu=True), Execution(provider="cuda")):
        with pytest.raises(ConfigurationError, match="CUDA"):
            Generator.load(tmp_path / "b", execution=execution, trusted_keys=keys)
        with pytest.raises(ConfigurationError, match="CUDA"):
            classifier(tmp_path / f"c{execution.provider}", execution)


BROKEN: dict[str, dict[str, Any]] = {
    "inputs that nothing feeds": {"inputs": ("input_ids", "pixels")},
    "numbers without their description": {"inputs": ("input_ids", "numbers", "numbers_mask")},
    "without labels": {"labels": ()},
    "window_tokens": {"window_tokens": 5000},
    "temperature": {"temperature": 0.0},
    "files lack": {"task": "text-generation", "max_new_tokens": 5},
}


@pytest.mark.parametrize(("reason", "fields"), BROKEN.items(), ids=BROKEN.keys())
def test_manifests_that_cannot_be_served_do_not_load(reason: str, fields: dict[str, Any], tmp_path: Path) -> None:
    """Fields of the newer tasks are checked at load."""
    with pytest.raises(ConfigurationError, match=reason):
        classifier(tmp_path / "b", **fields)


def test_a_graph_that_takes_something_else_is_refused_at_load(tmp_path: Path) -> None:
    """The manifest's inputs and outputs are the graph's; a difference is no surprise for the first text."""
    for fields in (
        {"inputs": ("input_ids", "attention_mask", "token_type_ids")},
        {"inputs": ("input_ids",)},
        {"outputs": ("scores",)},
    ):
        with pytest.raises(ConfigurationError, match=r"model\.onnx.*takes attention_mask, input_ids and gives logits"):
            classifier(tmp_path / "-".join(next(iter(fields.values()))), **fields)
    keys = generator(tmp_path / "g", follows=CHAIN, **{"decoder.onnx": encoder_graph(SILENT)})
    with pytest.raises(ConfigurationError, match=r"decoder\.onnx.*gives last_hidden_state"):
        Generator.load(tmp_path / "g", trusted_keys=keys)


@pytest.mark.parametrize("most", [0, 1025])
def test_generation_without_a_bound_does_not_load(most: int, tmp_path: Path) -> None:
    """The longest output is part of the bundle, 1 to 1024 pieces."""
    keys = generator(tmp_path / "b", follows=CHAIN, most=most)
    with pytest.raises(ConfigurationError, match="max_new_tokens"):
        Generator.load(tmp_path / "b", trusted_keys=keys)


def test_unreadable_tokenizers_are_errors_of_ours(tmp_path: Path) -> None:
    """Signed, but no tokenizer; or one without the pieces that decoding needs."""
    for name, content in {"noise": b"{}", "other": tokenizer(WORDS)}.items():
        keys = generator(tmp_path / name, follows=CHAIN, **{"tokenizer.json": content})
        with pytest.raises(ConfigurationError, match=r"tokenizer\.json"):
            Generator.load(tmp_path / name, trusted_keys=keys)
