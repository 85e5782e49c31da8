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
#: Names of no more characters are letters that stand for something: what has one in common is not the same for that.
_LETTERS = 5


class _Draft:
    def __init__(self, group: Group) -> None:
        self.group = group
        self.codes: dict[Ref, str] = {}
        self.further: dict[Ref, str] = {}
        self.parents: dict[str, None] = {}

    def mesh(self) -> Ref | None:
        return next((ref for ref in self.codes if ref[0] == MESH), None)

    def agrees(self, other: _Draft) -> bool:
        """Whether nothing says that the two are different: no system in which both have codes and share none."""
        mine, theirs = ({system: {ref for ref in d.codes if ref[0] == system} for system, _ in d.codes} for d in (self, other))
        return self.group == other.group and all(mine[s] & theirs[s] for s in mine.keys() & theirs.keys())

    def take(self, other: _Draft) -> None:
        """Become one with ``other``, whose codes and names come behind."""
        for ref, shown in other.codes.items():
            self.codes[ref] = self.codes.get(ref) or shown
        self.further.update(other.further)
        self.parents.update(other.parents)


def build(sources: Sequence[tuple[str, Path]], versions: dict[str, str] | None = None) -> Index:
    """The index of ``sources`` (kind, file) in this order: an earlier source's names and codes come first.

    ``versions`` is what the operator says of a kind's release. Raises ConfigurationError: unknown kind, or a file that is not of it.
    """
    drafts: list[_Draft] = []
    owner: dict[Ref, int] = {}
    displays: dict[Ref, str] = {}
    names: dict[str, dict[int, int]] = {}
    told: list[Source] = []
    merged: dict[int, int] = {}
    for kind, path in sources:
        terms = _read(kind, path)
        for term in terms:
            at = _place(term, drafts, owner, displays, names, merged)
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
    _unite_namesakes(drafts, names, merged)
    kept = [at for at in range(len(drafts)) if at not in merged]
    place = {at: new for new, at in enumerate(kept)}
    ranked: dict[str, dict[int, int]] = {}
    for key, ranks in names.items():
        for at, rank in ranks.items():
            here = ranked.setdefault(key, {})
            new = place[_last(at, merged)]
            here[new] = min(here.get(new, 2), rank)
    drafts = [drafts[at] for at in kept]
    forms: dict[str, dict[int, int]] = {}
    for key, ranks in ranked.items():
        if form := normal(key):
            for at, rank in ranks.items():
                here = forms.setdefault(form, {})
                here[at] = min(here.get(at, 2), rank)
    exact = _by_rank(ranked, drafts)
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
        normal=_by_rank(forms, drafts),
    )


def _by_rank(names: dict[str, dict[int, int]], drafts: list[_Draft]) -> dict[str, tuple[int, ...]]:
    """Concepts of each name: those that are more than a code for billing first, then those that it is the display of."""
    return {
        key: tuple(sorted(ranks, key=lambda at: (all(system == ICD10CM for system, _ in drafts[at].codes), ranks[at], at)))
        for key, ranks in sorted(names.items())
    }


def _last(at: int, merged: dict[int, int]) -> int:
    """The draft that ``at`` became part of, or ``at`` itself."""
    while at in merged:
        at = merged[at]
    return at


def _unite_namesakes(drafts: list[_Draft], names: dict[str, dict[int, int]], merged: dict[int, int]) -> None:
    """A concept without a MeSH heading whose display is a name of just one that has a heading, and nothing against it, is that one."""
    forms: dict[str, dict[int, None]] = {}
    for key, ranks in names.items():
        for at in ranks:
            forms.setdefault(normal(key), {})[_last(at, merged)] = None
    for key, ranks in names.items():
        if len(key) <= _LETTERS:
            continue
        for at in sorted({_last(at, merged) for at, rank in ranks.items() if rank == 0}):
            if at in merged or drafts[at].mesh() is not None:
                continue
            others = {_last(other, merged) for other in forms[normal(key)]} - {at}
            fitting = [other for other in sorted(others) if drafts[other].mesh() and drafts[other].agrees(drafts[at])]
            if len(fitting) == 1:
                merged[at] = fitting[0]
                drafts[fitting[0]].take(drafts[at])


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
    term: Term,
    drafts: list[_Draft],
    owner: dict[Ref, int],
    displays: dict[Ref, str],
    names: dict[str, dict[int, int]],
    merged: dict[int, int],
) -> int | None:
    """Where the term's names belong. A code stays with the concept that took it first; a concept takes each system's first code and
    any more that nothing else owns. Two concepts that a term says are one become one where no code of theirs speaks against it."""
    if not term.code:
        known = names.get(folded(term.display), {})
        return _last(min(known, key=lambda at: (known[at], at)), merged) if known else None
    own = (term.system, term.code)
    displays.setdefault(own, term.display)
    owners = list(dict.fromkeys(_last(owner[ref], merged) for ref in (own, *term.same) if ref in owner))
    if not owners:
        owners = [len(drafts)]
        drafts.append(_Draft(term.group))
    at = owners[0]
    for other in owners[1:]:
        first, second = min(at, other), max(at, other)
        if drafts[first].agrees(drafts[second]):
            merged[second] = at = first
            drafts[first].take(drafts[second])
    draft = drafts[at]
    for ref in (own, *term.same):
        if _last(owner.setdefault(ref, at), merged) == at:
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
