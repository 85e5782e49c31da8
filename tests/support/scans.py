"""Pages as a fax machine makes them: typed lines, grey dirt, a stamp. Drawn here, with Pillow's own font."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

LINES = (
    "NORTHGATE HOSPITAL  DISCHARGE SUMMARY",
    "Patient: Quillfeather, Jonas   MRN 100200300",
    "DOB 01/02/1950   Phone (555) 010-1234",
    "",
    "Metformin 500 mg PO BID continued. Denies chest pain.",
    "Hypertension, controlled with lisinopril 20 mg daily.",
    "Seen by Dr. Stonebridge on 1/2/2024.",
)


def page(lines: Sequence[str] = LINES, *, dirt: int = 400, turn: float = 0.0) -> Image.Image:
    """Letter at 200 dots per inch with ``dirt`` specks, turned by ``turn`` degrees, and a grey face at the lower right."""
    image = Image.new("L", (1700, 1100), 255)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=30)
    for number, line in enumerate(lines):
        draw.text((100, 100 + 60 * number), line, fill=0, font=font)
    draw.ellipse((1300, 700, 1600, 1050), fill=120)
    dice = random.Random(5)
    for _ in range(dirt):
        draw.point((dice.randrange(1700), dice.randrange(1100)), fill=dice.randrange(160))
    return image.rotate(turn, fillcolor=255) if turn else image


def packed(*pages: Image.Image, kind: str) -> bytes:
    """The pages as ``PNG``, ``JPEG``, ``TIFF`` or ``PDF``."""
    out = io.BytesIO()
    more = {"save_all": True, "append_images": list(pages[1:])} if kind in ("TIFF", "PDF") else {}
    pages[0].save(out, kind, resolution=200, **more)
    return out.getvalue()
