"""Numbers and signs that point at one person, and the ways to reach somebody."""

from __future__ import annotations

from training.phi.draw import Value
from training.phi.people import People, without_marks


class Numbers(People):
    """Slots that give numbers, phones, addresses of mail and web, files and accounts."""

    def mrn(self) -> Value:
        return self._pattern("mrn"), "ID"

    def ssn(self) -> Value:
        return self._pattern("ssn"), "ID"

    def plan(self) -> Value:
        return self._pattern("plan"), "ID"

    def group(self) -> Value:
        return self._pattern("group"), "ID"

    def account(self) -> Value:
        return self._pattern("account"), "ID"

    def card(self) -> Value:
        return self._pattern("card"), "ID"

    def iban(self) -> Value:
        return self._pattern("iban"), "ID"

    def routing(self) -> Value:
        return self._pattern("routing"), "ID"

    def licence(self) -> Value:
        return self._pattern("licence"), "ID"

    def driver(self) -> Value:
        return self._pattern("driver"), "ID"

    def passport(self) -> Value:
        return self._pattern("passport"), "ID"

    def vin(self) -> Value:
        return self._pattern("vin"), "ID"

    def plate(self) -> Value:
        return self._pattern("plate"), "ID"

    def serial(self) -> Value:
        return self._pattern("serial"), "ID"

    def mac(self) -> Value:
        address = self._pattern("mac")
        return (address.upper() if self._chance(0.5) else address), "ID"

    def imei(self) -> Value:
        return self._pattern("imei"), "ID"

    def study(self) -> Value:
        return self._pattern("study"), "ID"

    def accession(self) -> Value:
        return self._pattern("accession"), "ID"

    def encounter(self) -> Value:
        return self._pattern("encounter"), "ID"

    def badge(self) -> Value:
        return self._pattern("badge"), "ID"

    def case_number(self) -> Value:
        return self._pattern("case"), "ID"

    def prescription(self) -> Value:
        return self._pattern("prescription"), "ID"

    def token(self) -> Value:
        return self._pattern("token"), "ID"

    def biometric(self) -> Value:
        """Number of a stored fingerprint, iris, voice or face."""
        return self._pick("biometrics") + self._pattern("biometric"), "ID"

    def ip(self) -> Value:
        r = self._random
        if self._chance(0.3):
            groups = [f"{r.randint(0, 65535):x}" for _ in range(8)]
            return (":".join(groups) if self._chance(0.7) else f"{groups[0]}:{groups[1]}::{groups[2]}:{groups[3]}"), "ID"
        address = ".".join(str(r.randint(1, 254)) for _ in range(4))
        return self._weighted((6, address), (1, f"{address}:{r.randint(80, 65535)}"), (1, f"{address}/24")), "ID"

    # ways to reach somebody
    def phone(self) -> Value:
        return self._pattern("phone"), "PHONE"

    def fax(self) -> Value:
        return self._pattern("phone"), "PHONE"

    def pager(self) -> Value:
        return self._shape(self._random.choice(("####", "#####", "###-###-####", "x####", "##-####"))), "PHONE"

    def _account(self) -> tuple[str, str]:
        """Given and family name as accounts write them: small letters a to z."""
        first, last = self._person()
        plain = ["".join(c for c in without_marks(n).lower() if "a" <= c <= "z") for n in (first, last)]
        return plain[0] or "pat", plain[1] or "doe"

    def _host(self) -> str:
        if self._chance(0.45):
            return self._pick("mail_hosts")
        stem = self._account()[1] if self._chance(0.5) else (self._pick("coined_starts") + self._pick("coined_ends")).lower()
        return stem + self._pick("mail_ends")

    def email(self) -> Value:
        first, last = self._account()
        number = self._random.randint(1, 99)
        account = self._weighted(
            (5, f"{first}.{last}"), (4, f"{first[0]}{last}"), (3, f"{first}{number}"), (2, f"{last}_{first}"),
            (1, f"{first}.{last[0]}"), (2, f"{first.title()}{last.title()}"),
            (1, f"{first}{last}{number}"), (1, f"{first}-{last}"), (1, f"{first}.{last}+clinic"),
            (1, f"{first[0]}.{last}{number}"), (1, f"{last}.family"),
        )  # fmt: skip
        address = f"{account}@{self._host()}"
        return self._weighted(
            (30, address), (1, address.upper()), (1, f"{first} at {last} dot com"), (1, f"{account} (at) {self._host()}")
        ), "EMAIL"

    def url(self) -> Value:
        first, last = self._account()
        number = self._random.randint(1000, 999999)
        end = self._pick("mail_ends")
        coined = self._pick("coined_starts") + self._pick("coined_ends").title()
        return self._weighted(
            (2, f"https://portal.{last}clinic.com/patients/{number}"), (3, f"www.{last}family{end}"),
            (2, f"http://www.{last}{end}"), (2, f"https://www.facebook.com/{first}.{last}{number}"),
            (2, f"www.myhealth-{last}.com"), (2, f"{last}medical.org/{number}"),
            (2, f"http://{last.title()}{first.title()}{end}/"), (3, f"http://www.{coined}{end}/"),
            (2, f"https://{coined.lower()}{end}"),
            (1, f"https://www.{coined}{end}/{first}"), (1, f"instagram.com/{first}{last}"),
            (1, f"linkedin.com/in/{first}-{last}-{number}"), (1, f"https://mychart.{last}health.org/visit?id={number}"),
            (1, f"ftp://files.{coined.lower()}{end}/{number}"), (1, f"gofundme.com/{first}-{last}-recovery"),
            (2, f"{coined.lower()}{end}"), (1, f"https://{first}{last}.blog/{number}"),
        ), "URL"  # fmt: skip

    def handle(self) -> Value:
        return f"@{self._user()}", "URL"

    def _user(self) -> str:
        first, last = self._account()
        n = self._random.randint(1, 2005)
        return self._pick("users").format(f=first, l=last, F=first.title(), L=last.title(), i=first[0], n=n)

    def user(self) -> Value:
        return self._user(), "ID"

    def photo(self) -> Value:
        """File of a face or of whatever else shows one person."""
        first, last = self._account()
        r = self._random
        end = self._pick("file_ends")
        name = self._weighted(
            (3, f"{self._pattern('photo_name')}.{end}"), (2, f"{last}_{first}_{self._pick('file_stems')}.{end}"),
            (2, f"{self._pick('file_stems')}_{r.randint(1000, 9999999)}.{end}"),
            (1, f"{first}{last}.{end}"), (1, f"{last}-{self._pick('file_stems')}-{r.randint(1, 99):02}.{end}"),
        )  # fmt: skip
        return name, "ID"
