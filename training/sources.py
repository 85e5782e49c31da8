"""What each task is made from, and what its models answer with."""

from __future__ import annotations

from models.bundle import NumberInput
from training.data.corpora import ENTITY_SOURCES, Source
from training.data.texts import TEXT_SOURCES
from training.phi.corpus import PHI_SOURCES
from training.recipe import Recipe
from training.tasks import explanations, flags, messages, names, vitals

_MODULES = {"messages": messages, "flags": flags, "vitals": vitals, "explanations": explanations, "names": names}


def sources_of(recipe: Recipe) -> tuple[Source, ...]:
    """Every public source that shaped the recipe's weights, each once."""
    if not recipe.corpora:
        return ()
    found: tuple[Source, ...]
    if recipe.task == "entities":
        found = (*ENTITY_SOURCES, *TEXT_SOURCES)
    elif recipe.task == "phi":
        found = PHI_SOURCES + TEXT_SOURCES + ENTITY_SOURCES
    else:
        found = tuple(_MODULES[recipe.task].SOURCES)
        if recipe.family != "t5" and recipe.task != "names":
            found += TEXT_SOURCES + ENTITY_SOURCES  # the encoder was pretrained on them
    return tuple({s.folder: s for s in found}.values())


def labels_of(task: str) -> tuple[str, ...]:
    """Classes of a text task; none for generation."""
    return tuple(getattr(_MODULES[task], "LABELS", ()))


def multi_label_of(task: str) -> bool:
    """Whether the classes of a text task do not exclude each other."""
    return bool(getattr(_MODULES.get(task), "MULTI_LABEL", False))


def inputs_of(task: str) -> tuple[NumberInput, ...]:
    """Measured values that come with the texts of a task."""
    return tuple(getattr(_MODULES.get(task), "NUMBERS", ()))
