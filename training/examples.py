"""From a recipe to what a step trains on: the batches of an epoch, the head, and the loss of logits against the labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Protocol, TypeVar

import msgspec
import numpy as np
import torch
from tokenizers import Tokenizer

from models.classifier import standardised
from models.decoding import softmax
from models.generator import END
from models.tokens import WordPieces
from schemas.errors import ConfigurationError
from training.batches import Batch, PairExample, TextExample, pair_batches, text_batches, text_example, token_batches
from training.data.alignment import Example, align
from training.data.corpora import data_folder, entity_development, entity_training, recased
from training.data.document import Document, LabelledText
from training.data.exports import reviewed_labels
from training.data.labels import bio_labels
from training.data.lexicon import load_lexicon
from training.data.own import read_annotated
from training.data.replaced import names_of, replaced
from training.data.splits import without_duplicates
from training.data.texts import free_texts
from training.families import Head, load_family
from training.loss import class_loss, marginal_loss
from training.names import NamesTask
from training.phi.corpus import phi_training
from training.recipe import Annotated, Distil, Recipe
from training.seen import own_documents, own_labels
from training.tasks import explanations, flags, messages, vitals
from training.torch_classifier import text_logits
from training.torch_tagger import TorchTagger

TEXT_TASKS = {"messages": messages, "flags": flags, "vitals": vitals}
REPLACED = ("bc5cdr", "ncbi", "maccrobat")
_UNLABELLED = ("notes", "medquad")
_LEAST = 1e-9  # keeps the logarithm of a teacher that is certain finite
E_ = TypeVar("E_", Example, TextExample, PairExample)


class Task(Protocol):
    """A task as the steps see it."""

    @property
    def head(self) -> Head:
        """The head that a model of this task needs."""

    @property
    def numbers(self) -> int:
        """How many measured values come with each text."""

    def epoch(self, number: int) -> Iterator[Batch]:
        """Batches of one epoch; the same number gives the same batches."""

    def loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Mean loss of a batch's labels."""


def sample(corpora: dict[str, list[E_]], repeats: dict[str, float], random: Random) -> list[E_]:
    """The examples of one epoch: each corpus whole as often as its repeat says, the fraction drawn at random."""
    chosen: list[E_] = []
    for name, examples in corpora.items():
        times = repeats.get(name, 1.0)
        chosen += examples * int(times) + random.sample(examples, int(len(examples) * (times % 1.0)))
    return chosen


@dataclass(frozen=True, slots=True)
class TokenTask:
    """Entities or identifiers in text."""

    recipe: Recipe
    pieces: WordPieces
    corpora: dict[str, list[Example]]
    numbers: int = 0

    @property
    def head(self) -> Head:
        return Head("token", tuple(bio_labels(self.recipe.types)))

    def epoch(self, number: int) -> Iterator[Batch]:
        random = Random(f"{self.recipe.seed}/{number}")
        chosen = sample(self.corpora, self.recipe.repeats, random)
        return token_batches(chosen, self.pieces, self.recipe.lengths, self.recipe.batch_tokens, random)

    def loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        return marginal_loss(logits, batch["weight"])


@dataclass(frozen=True, slots=True)
class TextTask:
    """Classes of whole texts, with numbers where the task has some."""

    recipe: Recipe
    pieces: WordPieces
    labels: tuple[str, ...]
    multi_label: bool
    corpora: dict[str, list[TextExample]]
    numbers: int = 0

    @property
    def head(self) -> Head:
        return Head("text", self.labels, self.multi_label)

    def epoch(self, number: int) -> Iterator[Batch]:
        random = Random(f"{self.recipe.seed}/{number}")
        chosen = sample(self.corpora, self.recipe.repeats, random)
        return text_batches(chosen, self.pieces, self.recipe.lengths, self.recipe.batch_tokens, random)

    def loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        return class_loss(logits, batch["target"], multi_label=self.multi_label)


@dataclass(frozen=True, slots=True)
class PairTask:
    """Text to text."""

    recipe: Recipe
    corpora: dict[str, list[PairExample]]
    head: Head = field(default=Head("generation", ()))
    numbers: int = 0

    def epoch(self, number: int) -> Iterator[Batch]:
        random = Random(f"{self.recipe.seed}/{number}")
        return pair_batches(
            sample(self.corpora, self.recipe.repeats, random), self.recipe.lengths, self.recipe.batch_tokens, random
        )

    def loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), batch["labels"].flatten(), ignore_index=-100)


def token_documents(recipe: Recipe, task: str) -> dict[str, list[Document]]:
    """Training documents of a token task by corpus, some of them in capitals or small letters.

    What is nearly a development document is taken out of the entity corpora.
    """
    found: dict[str, list[Document]]
    if not recipe.corpora:
        found = {}
    elif task == "phi":
        found = phi_training(data_folder(), count=recipe.documents, seed=recipe.seed)
    else:
        found = entity_training(data_folder(), orders=recipe.documents, seed=recipe.seed)
        apart = [d for documents in entity_development(data_folder()).values() for d in documents]
        found = {name: without_duplicates(documents, apart)[0] for name, documents in found.items()}
        if recipe.replaced_share:
            found |= _replaced(found, recipe)
    found |= own_documents(recipe)
    return {name: recased(documents, share=recipe.recase_share, seed=recipe.seed) for name, documents in found.items()}


def annotated_documents(annotated: dict[str, Annotated]) -> dict[str, list[Document]]:
    """A site's own texts by the names that its recipe gives them. Raises DataError."""
    return {name: read_annotated(one.format, Path(one.path), one.labels, one.corpus) for name, one in annotated.items()}


def _replaced(found: dict[str, list[Document]], recipe: Recipe) -> dict[str, list[Document]]:
    """A second copy of the corpora that mark whole documents, with other names in them."""
    names = names_of((d for name in REPLACED for d in found[name]), load_lexicon(data_folder()))
    return {f"{name}-replaced": replaced(found[name], names, share=recipe.replaced_share, seed=recipe.seed) for name in REPLACED}


def task_of(recipe: Recipe, tokenizer: Path) -> Task:
    """The task of a recipe, its texts tokenized by ``tokenizer`` (a ``tokenizer.json``)."""
    if recipe.task == "explanations":
        return _pair_task(recipe, tokenizer)
    pieces = WordPieces(tokenizer)
    if recipe.task == "names":
        return NamesTask.of(recipe, pieces)
    if recipe.task in TEXT_TASKS:
        return _text_task(recipe, pieces)
    documents = token_documents(recipe, recipe.task)
    corpora = {name: [align(d, pieces, recipe.types) for d in found] for name, found in documents.items()}
    if recipe.distil is not None and recipe.distil.unlabelled:
        corpora["unlabelled"] = _unlabelled(pieces, 1 + 2 * len(recipe.types))
        recipe = _with_repeat(recipe, "unlabelled", recipe.distil.unlabelled)
    return TokenTask(recipe, pieces, corpora)


def taught_by(task: Task, teachers: list[Path], recipe: Recipe) -> Task:
    """The task with the averaged answers of its teachers beside every example, as log probabilities (token tasks) or logits.

    Raises:
        ValueError: tasks of generation are not distilled.
    """
    if isinstance(task, TokenTask):
        distil = recipe.distil or Distil(teachers=())
        models = [
            TorchTagger.load(folder, window=distil.window_of(k), overlap=recipe.window_overlap)
            for k, folder in enumerate(teachers)
        ]
        return replace(task, corpora={name: _taught_pieces(found, models) for name, found in task.corpora.items()})
    if isinstance(task, TextTask):
        return replace(task, corpora={name: _taught_texts(found, teachers, task.pieces) for name, found in task.corpora.items()})
    raise ValueError("explanations are not distilled")


def _taught_pieces(examples: list[Example], teachers: list[TorchTagger]) -> list[Example]:
    said = [[softmax(logits) for logits in teacher.logits_of(examples)] for teacher in teachers]
    means = (np.mean(each, axis=0) for each in zip(*said, strict=True))
    return [replace(e, teacher=np.log(mean + _LEAST).astype(np.float16)) for e, mean in zip(examples, means, strict=True)]


def _taught_texts(examples: list[TextExample], teachers: list[Path], pieces: WordPieces) -> list[TextExample]:
    said = [text_logits(load_family(folder), examples, pieces) for folder in teachers]
    return [replace(e, teacher=row) for e, row in zip(examples, np.mean(said, axis=0), strict=True)]


def _with_repeat(recipe: Recipe, name: str, times: float) -> Recipe:
    return msgspec.structs.replace(recipe, repeats=recipe.repeats | {name: times})


def _unlabelled(pieces: WordPieces, labels: int) -> list[Example]:
    """Free texts in which every label is allowed: only a teacher speaks there."""
    texts = free_texts(data_folder())
    found = (pieces(text) for name in _UNLABELLED for text in texts[name])
    return [Example(t.ids, t.shape, np.ones((len(t), labels), dtype=np.float32)) for t in found]


def _text_task(recipe: Recipe, pieces: WordPieces) -> TextTask:
    module = TEXT_TASKS[recipe.task]
    inputs = getattr(module, "NUMBERS", ())

    def example(row: LabelledText) -> TextExample:
        return text_example(row, pieces(row.text), module.LABELS, standardised(row.numbers, inputs))

    texts = module.training(data_folder(), count=recipe.documents, seed=recipe.seed) if recipe.corpora else {}
    texts |= _own_texts(recipe)
    corpora = {name: [example(row) for row in rows] for name, rows in texts.items()}
    return TextTask(recipe, pieces, module.LABELS, module.MULTI_LABEL, corpora, len(inputs))


def _own_texts(recipe: Recipe) -> dict[str, list[LabelledText]]:
    _refuse_others(recipe, "annotated", recipe.annotated, ("reviewed", "store"))
    return {name: flags.reviewed(label for _, label in rows) for name, rows in own_labels(recipe).items()}


def _refuse_others(recipe: Recipe, setting: str, given: dict[str, Annotated], formats: tuple[str, ...]) -> None:
    """A site's own texts serve the flags alone, and as reviewed labels: no other names their classes."""
    if given and recipe.task != "flags":
        raise ConfigurationError(path=setting, detail=f"the task {recipe.task} has no texts of a site's own")
    for name, one in given.items():
        if one.format not in formats:
            raise ConfigurationError(
                path=f"{setting}.{name}", detail="flags are learned from and judged by reviewed labels alone"
            )


def text_development(recipe: Recipe) -> dict[str, list[LabelledText]]:
    """Development texts of a task of whole texts by set: the task's own, and reviewed labels that the recipe names.

    Raises:
        ConfigurationError: the recipe names texts that the task cannot be judged by. DataError.
    """
    _refuse_others(recipe, "development", recipe.development, ("reviewed",))
    module = TEXT_TASKS[recipe.task]
    found: dict[str, list[LabelledText]] = module.development(data_folder(), seed=recipe.seed) if recipe.corpora else {}
    for name, one in recipe.development.items():
        found[name] = flags.reviewed(label for _, label in reviewed_labels(Path(one.path)))
    return found


def _pair_task(recipe: Recipe, tokenizer: Path) -> PairTask:
    reader = Tokenizer.from_file(str(tokenizer))
    end = reader.get_vocab()[END]
    texts = explanations.training(data_folder(), count=recipe.documents, seed=recipe.seed)
    corpora = {
        name: [PairExample([*reader.encode(p.source).ids, end], [*reader.encode(p.target).ids, end]) for p in pairs]
        for name, pairs in texts.items()
    }
    return PairTask(recipe, corpora)
