"""A one-page PDF around a content stream, for tests and fuzzing."""

from __future__ import annotations


def pdf(stream: bytes, filters: bytes = b"") -> bytes:
    """``stream`` as it stands in the file; ``filters`` the value of its ``Filter`` entry (``/FlateDecode``)."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length "
        + str(len(stream)).encode()
        + (b"/Filter" + filters if filters else b"")
        + b">>stream\n"
        + stream
        + b"\nendstream",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    whole = b"%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(whole))
        whole += str(number).encode() + b" 0 obj" + body + b"\nendobj\n"
    table = b"xref\n0 6\n0000000000 65535 f \n" + b"".join(f"{offset:010} 00000 n \n".encode() for offset in offsets)
    return whole + table + b"trailer<</Root 1 0 R/Size 6>>\nstartxref\n" + str(len(whole)).encode() + b"\n%%EOF\n"
