"""Text in, text out: greedy decoding of an encoder-decoder bundle. What it writes must be checked (``models.grounding``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from models.bundle import DECODER, ENCODER, TOKENIZER, Manifest
from models.opened import OpenBundle
from models.session import CPU, Execution, open_session, refuse_other_names
from schemas.errors import ConfigurationError

PAD, END = "<pad>", "</s>"
MOST_SOURCE_PIECES: Final = 512
DECODER_INPUTS: Final = ("input_ids", "encoder_hidden_states", "encoder_attention_mask")

__all__ = ["Execution", "Generator"]


class Generator(OpenBundle):
    """One bundle, ready to write. Safe to call from several threads. The CPU is enough: outputs are a few sentences."""

    task = "text-generation"

    def __init__(self, folder: Path, manifest: Manifest, execution: Execution) -> None:
        super().__init__(folder, manifest, execution)
        if execution.require_gpu or execution.provider == "cuda":
            raise ConfigurationError(path=str(folder), detail="generation has no graph for CUDA")
        self.provider = CPU
        self._encoder, self._decoder = open_session(folder / ENCODER, CPU), open_session(folder / DECODER, CPU)
        refuse_other_names(folder / ENCODER, self._encoder, ("input_ids", "attention_mask"), ())
        refuse_other_names(folder / DECODER, self._decoder, DECODER_INPUTS, ("logits",))
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        except Exception as error:  # the library raises bare Exception
            raise ConfigurationError(path=str(folder / TOKENIZER), detail="unreadable tokenizer") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._pad, self._end = self._special(folder, PAD), self._special(folder, END)

    def generate(self, source: str) -> str:
        """What the model writes for ``source``: the likeliest piece each time, until it ends or ``max_new_tokens`` are written."""
        ids = [*self._tokenizer.encode(source, add_special_tokens=False).ids[: MOST_SOURCE_PIECES - 1], self._end]
        given = np.array([ids], dtype=np.int64)
        mask = np.ones_like(given)
        states: npt.NDArray[Any] = self._encoder.run(None, {"input_ids": given, "attention_mask": mask})[0]
        written = [self._pad]
        for _ in range(self.manifest.max_new_tokens):
            feed = {
                "input_ids": np.array([written], dtype=np.int64),
                "encoder_hidden_states": states,
                "encoder_attention_mask": mask,
            }
            piece = int(self._decoder.run(["logits"], feed)[0][0, -1].argmax())
            if piece == self._end:
                break
            written.append(piece)
        text: str = self._tokenizer.decode(written[1:], skip_special_tokens=True)
        return text.strip()

    def _special(self, folder: Path, piece: str) -> int:
        number: int | None = self._tokenizer.token_to_id(piece)
        if number is None:
            raise ConfigurationError(path=str(folder / TOKENIZER), detail=f"the tokenizer knows no {piece}")
        return number
