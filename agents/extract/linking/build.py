"""Terms of several sources to one index: rows whose codes mean the same become one concept with the names of all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from agents.extract.linking.index import FORMAT, Concept, Group, Index, Source
from agents.extract.linking.names import folded, normal
from agents.extract.linking.sources import ICD10CM, MESH, READERS, Ref, Term
from schemas.errors import ConfigurationError

#: Steps up at which a heading still says something about the disease.
_HIGHEST = 3


class _Draft:
    def __init__(self, group: Group) -> None:
        self.group = group
        self.codes: dict[Ref, str] = {}
        self.further: dict[Ref, str] = {}
        self.parents: dict[str, None] = {}

    def mesh(self) -> Ref | None:
        return next((ref for ref in self.codes if ref[0] == MESH), None)


def build(sources: Sequence[tuple[str, Path]], versions: dict[str, str] | None = None) -> Index:
    """The index of ``sources`` (kind, file) in this order: an earlier source's names and codes come first.

    ``versions`` is what the operator says of a kind's release. Raises ConfigurationError: unknown kind, or a file that is not of it.
    """
    drafts: list[_Draft] = []
    owner: dict[Ref, int] = {}
    displays: dict[Ref, str] = {}
    names: dict[str, dict[int, int]] = {}
    told: list[Source] = []
    for kind, path in sources:
        terms = _read(kind, path)
        for term in terms:
            at = _place(term, drafts, owner, displays, names)
            if at is None:
                continue
            for rank, name in enumerate((term.display, *term.names) if term.code else term.names):
                key = folded(name)
                if key:
                    ranks = names.setdefault(key, {})
                    ranks[at] = min(ranks.get(at, 2), min(rank, 1))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        told.append(
            Source(
                kind=kind,
                file=path.name,
                sha256=digest,
                licence=READERS[kind][1],
                version=(versions or {}).get(kind, ""),
                terms=len(terms),
            )
        )
    exact = {key: tuple(sorted(ranks, key=lambda at: (ranks[at], at))) for key, ranks in sorted(names.items())}
    forms: dict[str, dict[int, int]] = {}
    for key, ids in exact.items():
        if form := normal(key):
            for at in ids:
                ranks = forms.setdefault(form, {})
                ranks[at] = min(ranks.get(at, 2), names[key][at])
    _widen(drafts, exact, forms)
    return Index(
        format=FORMAT,
        sources=tuple(told),
        concepts=tuple(
            Concept(
                d.group,
                tuple((s, c, shown) for (s, c), shown in d.codes.items()),
                tuple((s, c, displays.get((s, c), "")) for s, c in d.further if (s, c) not in d.codes),
            )
            for d in drafts
        ),
        exact=exact,
        normal={form: tuple(sorted(ranks, key=lambda at: (ranks[at], at))) for form, ranks in sorted(forms.items())},
    )


def _read(kind: str, path: Path) -> list[Term]:
    if kind not in READERS:
        raise ConfigurationError(path=str(path), detail=f"kind {kind} is none of {', '.join(READERS)}")
    try:
        terms = list(READERS[kind][0](path))
    except OSError:
        raise ConfigurationError(path=str(path), detail="cannot be read") from None
    except (KeyError, IndexError, ValueError, SyntaxError, TypeError):
        raise ConfigurationError(path=str(path), detail=f"not a file of kind {kind}") from None
    if not terms:
        raise ConfigurationError(path=str(path), detail=f"no term of kind {kind} in it")
    return terms


def _place(
    term: Term, drafts: list[_Draft], owner: dict[Ref, int], displays: dict[Ref, str], names: dict[str, dict[int, int]]
) -> int | None:
    """Where the term's names belong. A code stays with the concept that took it first; a concept takes each system's first code and
    any more that nothing else owns."""
    if not term.code:
        known = names.get(folded(term.display), {})
        return min(known, key=lambda at: (known[at], at)) if known else None
    own = (term.system, term.code)
    displays.setdefault(own, term.display)
    at = owner.get(own)
    if at is None:
        at = next((owner[ref] for ref in term.same if ref in owner), None)
    if at is None:
        at = len(drafts)
        drafts.append(_Draft(term.group))
    draft = drafts[at]
    for ref in (own, *term.same):
        if owner.setdefault(ref, at) == at:
            draft.codes[ref] = draft.codes.get(ref) or (term.display if ref == own else displays.get(ref, ""))
        elif ref[0] == MESH:
            draft.further.setdefault(ref, "")
    draft.parents.update(dict.fromkeys(term.parents))
    for ref in term.further:
        if ref[0] == ICD10CM:
            draft.further.setdefault(ref, "")
    return at


def _widen(drafts: list[_Draft], exact: dict[str, tuple[int, ...]], forms: dict[str, dict[int, int]]) -> None:
    """MeSH has no heading for many a disease; indexers then take the nearest wider one. Concepts without a heading get it as a further
    code: "neoplasm" of the same place for a cancer, else the heading of the nearest parent."""
    for form, ids in list(forms.items()):
        words = form.split()
        wider = " ".join(sorted({"neoplasm" if word in ("cancer", "carcinoma") else word for word in words}))
        if wider == form:
            continue
        heading = next((ref for at in forms.get(wider, ()) if (ref := drafts[at].mesh())), None)
        for at in ids:
            if heading and drafts[at].group == "problem" and drafts[at].mesh() is None:
                drafts[at].further.setdefault(heading, "")
    found: dict[int, Ref] = {}
    for at, draft in enumerate(drafts):
        row, seen = [at], {at}
        for _ in range(_HIGHEST):
            row = [
                up for here in row for name in drafts[here].parents for up in exact.get(folded(name), ())[:1] if up not in seen
            ]
            seen.update(row)
            if heading := next((ref for up in row if (ref := drafts[up].mesh())), None):
                found[at] = heading
                break
        if at in found and draft.mesh() is None:
            draft.further.setdefault(found[at], "")
