"""An encoder of names from a made-up vocabulary: trained, exported, quantized, released, and an index with its vectors."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from agents.extract.linking.index import read
from agents.extract.linking.linker import Linker
from models.embedder import Embedder
from models.signature import new_key_pair
from ops.commands.vocab import command
from tests.training.test_factory import recipe_of
from training.bundle import make
from training.curve import curve_of
from training.gate import Verdict
from training.recipe import Prune, Recipe
from training.steps import evaluate, export, prune, quantize, train
from training.tasks.names import kept_apart, training
from training.tasks.names import read as read_names

PLACES = ("aspirin", "warfarin", "metformin", "digoxin", "heparin", "insulin")
KINDS = ("fever", "gout", "nausea", "asthma", "anemia", "rash")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> tuple[Recipe, Path, Path]:
    """Recipe of a trained encoder, its bundle and the key's folder."""
    folder = tmp_path_factory.mktemp("names")
    rows = [
        (k, name)
        for k, (a, b) in enumerate((a, b) for a in PLACES for b in KINDS)
        for name in (f"{a} {b}", f"{b} by {a}", f"{b} of {a}")
    ]
    (folder / "names.tsv").write_text("".join(f"{at}\t{name}\n" for at, name in rows), encoding="utf-8")
    names, out = str(folder / "names.tsv"), folder / "out"
    pruned = msgspec.structs.replace(recipe_of(out, tiny), name="cut", task="names", names=names, prune=Prune(vocabulary_least=1))
    prune.run(pruned)
    recipe = msgspec.structs.replace(
        recipe_of(out, tiny), task="names", names=names, family="distilbert", start=str(pruned.checkpoint), lengths=(16,), epochs=30.0,
        bundle="wardstream-names", sizes={"dimensions": 16}, documents=50,
    )  # fmt: skip
    for step in (train, export, quantize, evaluate):
        step.run(recipe)
    key = folder / "keys" / "key"
    key.parent.mkdir()
    private, public = new_key_pair()
    key.write_bytes(private)
    key.with_name("key.pub").write_text(public, encoding="ascii")
    # Its development names are too few for the gate.
    return recipe, make(recipe, "1.0.0", folder / "shelf", scores={}, gate=Verdict(True, (), 0), key=key), key.parent


def test_two_names_of_a_concept_come_to_lie_nearer_than_names_of_others(made: tuple[Recipe, Path, Path]) -> None:
    recipe, bundle, keys = made
    curve = curve_of(recipe.checkpoint)
    assert curve[-1]["loss"] < 0.6 * curve[0]["loss"]
    with Embedder.load(bundle, trusted_keys=keys) as embedder:
        one, same, other = embedder.embed(["aspirin fever", "fever by aspirin", "insulin rash"])
        assert one @ same > one @ other


def test_a_name_alone_and_in_company_has_the_same_unit_vector(made: tuple[Recipe, Path, Path]) -> None:
    _, bundle, keys = made
    with Embedder.load(bundle, trusted_keys=keys) as embedder:
        many = embedder.embed(["gout", "", "anemia of heparin " * 30])
        assert np.array_equal(many[1], embedder.embed([""])[0])
        assert np.array_equal(many[2], embedder.embed(["anemia of heparin " * 30])[0])
        assert np.allclose(np.linalg.norm(many, axis=1), 1, atol=1e-5)


def test_names_kept_apart_are_not_trained_on(made: tuple[Recipe, Path, Path]) -> None:
    concepts = read_names(Path(made[0].names))
    apart = {name for names in concepts for name in names if kept_apart(name)}
    assert apart
    assert not apart & {name for names in training(concepts) for name in names}


def test_an_index_is_built_with_vectors_by_the_command(
    made: tuple[Recipe, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, bundle, keys = made
    monkeypatch.setenv("WARDSTREAM_MODELS__TRUSTED_KEYS", str(keys))
    source, out = tmp_path / "c.txt", tmp_path / "v.index"
    source.write_text("1\t0\t1\taspirin fever\tDisease\tD100\n1\t0\t1\tinsulin rash\tDisease\tD101\n", encoding="utf-8")
    arguments = ["build", "--source", f"pubtator={source}", "--encoder", str(bundle), "--out", str(out)]
    ran = CliRunner().invoke(command, arguments)
    assert ran.exit_code == 0, ran.output
    index, version = read(out)
    with Embedder.load(bundle, trusted_keys=keys) as embedder:
        assert index.vectors is not None
        assert index.vectors.encoder == embedder.version
        assert Linker(index, version, 0, embedder).link("aspirin fever", "problem") is not None
