"""Texts as a JSON list on standard input, the same as Philter leaves them on standard output; run by the Python of its own environment.

Philter (UCSF, ``philter-ucsf`` 1.0.3, its only configuration ``philter_delta.json``) masks every word that no list or pattern calls safe.
Two things are mended, neither changes what it finds: inline flags inside its patterns go to their beginning, where Python 3.11 wants them,
and texts are read as the UTF-8 that they are written in, not as what a detector guesses. Its part-of-speech tagger is NLTK's averaged
perceptron, whose data must be installed::

    python -m venv .venv-philter && .venv-philter/bin/pip install philter-ucsf nltk numpy chardet
    .venv-philter/bin/python -m nltk.downloader -d .venv-philter/nltk_data averaged_perceptron_tagger_eng
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

#: Everything that Philter takes out becomes as many asterisks; other characters of ASCII punctuation and all beyond ASCII stay.
_MASK = "*"
_FLAGS = re.compile(r"\(\?([aiLmsux]+)\)")


def main() -> None:
    warnings.simplefilter("ignore", FutureWarning)  # of its patterns
    import philter_ucsf
    from philter_ucsf.philter import Philter

    class Mended(Philter):  # type: ignore[misc]
        def precompile(self, filepath: str) -> re.Pattern[str]:
            pattern = Path(filepath).read_text("utf-8").strip()
            flags = "".join(sorted(set("".join(_FLAGS.findall(pattern)))))
            return re.compile((f"(?{flags})" if flags else "") + _FLAGS.sub("", pattern))

        def detect_encoding(self, fp: str) -> dict[str, Any]:
            return {"encoding": "utf-8"}

    texts: list[str] = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as folder:
        notes, out = Path(folder, "in"), Path(folder, "out")
        notes.mkdir()
        out.mkdir()
        for number, text in enumerate(texts):
            Path(notes, f"{number}.txt").write_text(text, "utf-8", newline="")
        os.chdir(Path(philter_ucsf.__file__).parent)  # its patterns lie beside it, named from there
        peer = Mended(
            {"verbose": False, "run_eval": False, "finpath": f"{notes}/", "foutpath": f"{out}/", "outformat": "asterisk",
             "filters": "configs/philter_delta.json", "cachepos": None}
        )  # fmt: skip
        begun = time.process_time()
        peer.map_coordinates()
        peer.transform()
        seconds = time.process_time() - begun
        clean = [Path(out, f"{number}.txt").read_text("utf-8", errors="surrogateescape") for number in range(len(texts))]
    print(json.dumps({"texts": clean, "spans": list(map(masked, texts, clean)), "seconds": seconds}))


def masked(text: str, clean: str) -> list[tuple[int, int]]:
    """Characters that were taken out, one span each."""
    return [(at, at + 1) for at, (was, now) in enumerate(zip(text, clean, strict=True)) if was != now == _MASK]


if __name__ == "__main__":
    main()
