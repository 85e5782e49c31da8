"""The process that reads one PDF from standard input; see ``schemas.pdf``. Stands alone: nothing of the product is imported here.

Exit codes: 0 text on standard output, 3 encrypted, 4 no text, 5 too large, 6 no reader, anything else cannot be read.
"""

from __future__ import annotations

import io
import resource
import sys


def main(cpu_s: int, memory_bytes: int, max_pages: int, max_text: int) -> int:
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        from pypdf import PdfReader
    except ImportError:
        return 6
    reader = PdfReader(io.BytesIO(sys.stdin.buffer.read()))
    if reader.is_encrypted:
        return 3
    if len(reader.pages) > max_pages:
        return 5
    pages: list[str] = []
    for page in reader.pages:
        pages.append(page.extract_text().replace("\x00", ""))
        if sum(map(len, pages)) > max_text:
            return 5
    text = "\n".join(pages)
    if not text.strip():
        return 4
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:5])))
