"""Estimated glomerular filtration rate: CKD-EPI 2021 without race (Inker et al., NEJM 2021, doi:10.1056/NEJMoa2102953)."""

from __future__ import annotations

from decimal import Context, Decimal

#: Fixed digits: the same bytes on every machine.
_CONTEXT = Context(prec=28)
_UMOL_PER_MG_DL = Decimal("88.4")
_KAPPA = {"female": Decimal("0.7"), "male": Decimal("0.9")}
_ALPHA = {"female": Decimal("-0.241"), "male": Decimal("-0.302")}
_SEXES = {"f": "female", "female": "female", "m": "male", "male": "male"}
_ADULT_YEARS = 18


def egfr(creatinine: Decimal, age_years: int, sex: str) -> Decimal | None:
    """mL/min/1.73 m2 from serum creatinine in umol/L.

    ``None`` where the equation does not hold: under 18 years, sex neither female nor male (HL7 ``F``/``M`` or FHIR code), no creatinine.
    """
    known = _SEXES.get(sex.lower())
    if known is None or age_years < _ADULT_YEARS or creatinine <= 0:
        return None
    relative = _CONTEXT.divide(creatinine, _UMOL_PER_MG_DL * _KAPPA[known])
    one = Decimal(1)
    low = _CONTEXT.power(min(relative, one), _ALPHA[known])
    high = _CONTEXT.power(max(relative, one), Decimal("-1.200"))
    aged = _CONTEXT.power(Decimal("0.9938"), Decimal(age_years))
    value = _CONTEXT.multiply(_CONTEXT.multiply(_CONTEXT.multiply(Decimal(142), low), high), aged)
    return _CONTEXT.multiply(value, Decimal("1.012")) if known == "female" else value


def creatinine_at(filtration: Decimal, age_years: int, sex: str) -> Decimal | None:
    """Serum creatinine in umol/L at which ``egfr`` gives ``filtration`` (mL/min/1.73 m2); ``None`` where the equation does not hold."""
    at_kappa = egfr(_UMOL_PER_MG_DL * _KAPPA.get(_SEXES.get(sex.lower(), ""), Decimal(0)), age_years, sex)
    if at_kappa is None or filtration <= 0:
        return None
    known = _SEXES[sex.lower()]
    exponent = Decimal("-1.200") if filtration <= at_kappa else _ALPHA[known]
    relative = _CONTEXT.power(_CONTEXT.divide(filtration, at_kappa), _CONTEXT.divide(Decimal(1), exponent))
    return _CONTEXT.multiply(relative, _UMOL_PER_MG_DL * _KAPPA[known])
