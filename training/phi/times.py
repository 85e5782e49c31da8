"""Dates and ages: every element of a date but the year, and ages over 89, are identifiers; years and younger ages are not."""

from __future__ import annotations

import datetime as dt

from training.phi.draw import Draw, Value

_ORDINALS = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth",
    "thirteenth",
    "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth", "twentieth",
)  # fmt: skip


def _ordinal(day: int) -> str:
    return f"{day}{'th' if 10 <= day % 100 <= 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"


class Times(Draw):
    """Slots that give dates, times, years and ages."""

    def _day(self) -> dt.datetime:
        r = self._random
        return dt.datetime(r.randint(1935, 2027), r.randint(1, 12), r.randint(1, 28), r.randint(0, 23), r.randint(0, 59))

    def date(self) -> Value:
        draw = self._random.random()
        if draw < 0.16:
            return self.ordinal_date()
        if draw < 0.22:
            return self.date_words()
        if draw < 0.25:
            return self.date_range()
        return self._day().strftime(self._pick("date_formats")), "DATE"

    def ordinal_date(self) -> Value:
        day, r = self._day(), self._random
        month, number = day.strftime(r.choice(("%B", "%b"))), _ordinal(day.day)
        forms = (
            "{m} {n}, {y}",
            "{n} of {m} {y}",
            "{m} {n}",
            "the {n} of {m}",
            "{n} {m} {y}",
            "{m} {n} {y}",
            "{m} the {n}",
            "{n} {m}",
        )
        return r.choice(forms).format(m=month, n=number, y=day.year), "DATE"

    def date_words(self) -> Value:
        day, r = self._day(), self._random
        month, word = day.strftime("%B"), r.choice(_ORDINALS)
        forms = (
            "last {m}", "this past {m}", "next {m}", "early {m}", "late {m} {y}", "mid-{m}", "mid {m} {y}", "early {m} of {y}",
            "{m} {w}", "the {w} of {m}",
            "{m} {w}, {y}", "the end of {m}", "the week of {m} {d}", "{a}, {m} {d}", "{a} {m} {d}, {y}", "{m} '{s}", "{b} '{s}",
            "{b}-{y}", "{m}/{y}", "{a} the {n}",
            "{m} of last year",
        )  # fmt: skip
        return r.choice(forms).format(
            m=month,
            w=word,
            y=day.year,
            d=day.day,
            n=_ordinal(day.day),
            a=day.strftime("%A"),
            b=day.strftime("%b"),
            s=day.strftime("%y"),
        ), "DATE"

    def date_range(self) -> Value:
        day, r = self._day(), self._random
        later = day + dt.timedelta(days=r.randint(1, 12))
        month, other = day.strftime("%B"), later.strftime("%B")
        forms = (
            "{p}/{d}-{q}/{e}/{y}",
            "{p}/{d}/{s} - {q}/{e}/{s}",
            "{m} {d} to {o} {e}, {y}",
            "{p}/{d}-{q}/{e}",
            "{m} {d} - {o} {e}",
            "{p}/{d}/{y}-{q}/{e}/{y}",
        )
        return r.choice(forms).format(
            p=day.month, d=day.day, q=later.month, e=later.day, y=day.year, s=day.strftime("%y"), m=month, o=other
        ), "DATE"

    def full_date(self) -> Value:
        return self._day().strftime(self._random.choice(self._lists["date_formats"][:12])), "DATE"

    def birth_date(self) -> Value:
        """A birthday in any order of its parts, eight digits without separators included."""
        form = self._random.choice(
            (*self._lists["date_formats"][:12], "%Y%m%d", "%m%d%Y", "%m.%d.%Y", "%d %B, %Y", "%m/%d/'%y", "%b %d %y")
        )
        return self._day().strftime(form), "DATE"

    def holiday(self) -> Value:
        name = self._pick("holidays")
        return (f"{name} {self._day().year}" if self._chance(0.25) else name), "DATE"

    def month(self) -> Value:
        return self._pick("months_long"), "DATE"

    def time(self) -> Value:
        return self._day().strftime(self._random.choice(("%H:%M", "%I:%M %p", "%H%M", "%H:%M:%S", "%-I:%M%p", "%-I %p"))), None

    def year(self) -> Value:
        return str(self._random.randint(1950, 2027)), None

    def age(self) -> Value:
        return str(self._random.randint(1, 89)), None

    def vague_date(self) -> Value:
        """A time no finer than a season, which is no identifier."""
        year, r = self._random.randint(1975, 2027), self._random
        forms = (
            "the {s} of {y}",
            "{s} {y}",
            "early {y}",
            "late {y}",
            "mid-{y}",
            "the end of {y}",
            "the {d}s",
            "{y}",
            "{y}-{z}",
            "the early {d}s",
            "the first half of {y}",
        )
        return r.choice(forms).format(
            s=r.choice(("spring", "summer", "fall", "autumn", "winter")), y=year, z=year + 1, d=year // 10 * 10
        ), None

    def weekday(self) -> Value:
        return self._pick("weekdays"), None

    def season(self) -> Value:
        return self._pick("seasons"), None

    def when(self) -> Value:
        """A time that is only relative."""
        return self._pick("relative_times"), None

    def old_age(self) -> Value:
        return (self._pick("old_ages") if self._chance(0.12) else str(self._random.randint(90, 108))), "AGE"

    def old_decade(self) -> Value:
        return self._random.choice(("90s", "nineties", "90's", "late 90s", "early 90s", "mid-90s")), "AGE"
