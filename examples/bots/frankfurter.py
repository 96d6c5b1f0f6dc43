"""Exchange rates by Frankfurter (version 2): daily reference rates of central banks.

No key and no quota, fair use; can be self-hosted. Format: https://frankfurter.dev
"""

from __future__ import annotations

import datetime

from pydantic import BaseModel, TypeAdapter

from .api import DEFAULT_LIMITS, ApiError, JsonApi, Limits, Service
from .identity import user_agent

CREDIT = "Central banks' daily reference rates by frankfurter.dev"
BASE_URL = "https://api.frankfurter.dev"

# What people say instead of a code, where only one currency can be meant or one is meant far more often.
SPOKEN = {
    "dollar": "USD",
    "dollars": "USD",
    "us dollar": "USD",
    "us dollars": "USD",
    "$": "USD",
    "euro": "EUR",
    "euros": "EUR",
    "€": "EUR",
    "pound": "GBP",
    "pounds": "GBP",
    "british pounds": "GBP",
    "£": "GBP",
    "yen": "JPY",
    "¥": "JPY",
    "swiss franc": "CHF",
    "swiss francs": "CHF",
    "franc": "CHF",
    "francs": "CHF",
    "rupee": "INR",
    "rupees": "INR",
    "yuan": "CNY",
    "zloty": "PLN",
}

# What is paid with where (ISO 3166 to ISO 4217), for the countries people mostly travel to.
EURO_COUNTRIES = "AT BE BG CY DE EE ES FI FR GR HR IE IT LT LU LV MC ME MT NL PT SI SK SM VA XK".split()
CURRENCY_OF = dict.fromkeys(EURO_COUNTRIES, "EUR") | {
    "AE": "AED", "AR": "ARS", "AU": "AUD", "BR": "BRL", "CA": "CAD", "CH": "CHF", "CL": "CLP", "CN": "CNY",
    "CO": "COP", "CZ": "CZK", "DK": "DKK", "EG": "EGP", "GB": "GBP", "GE": "GEL", "HK": "HKD", "HU": "HUF",
    "ID": "IDR", "IL": "ILS", "IN": "INR", "IS": "ISK", "JP": "JPY", "KE": "KES", "KR": "KRW", "LI": "CHF",
    "MA": "MAD", "MX": "MXN", "MY": "MYR", "NO": "NOK", "NZ": "NZD", "PE": "PEN", "PH": "PHP", "PL": "PLN",
    "RO": "RON", "RS": "RSD", "SE": "SEK", "SG": "SGD", "TH": "THB", "TR": "TRY", "TW": "TWD", "UA": "UAH",
    "US": "USD", "VN": "VND", "ZA": "ZAR",
}  # fmt: skip


class Conversion(BaseModel):
    """An amount of money in another currency."""

    amount: float
    from_currency: str
    result: float
    to_currency: str
    rate: float
    date: datetime.date
    credit: str


class _Rate(BaseModel):
    date: datetime.date
    base: str
    quote: str
    rate: float


_RATE = TypeAdapter(_Rate)


def currency_code(text: str) -> str:
    """The three letters of a currency, from its code or from what people say.

    Raises:
        ApiError: it is neither.
    """
    said = text.strip().lower()
    code = SPOKEN.get(said, said.upper())
    if len(code) != 3 or not (code.isascii() and code.isalpha()):
        raise ApiError(f"{text!r} is no currency: use a code of three letters such as EUR or USD")
    return code


class Frankfurter(Service):
    """Frankfurter's rates.

    Args:
        base_url: where it is.
        credit: whose rates they are, carried by every answer.
        limits: politeness and patience.
    """

    def __init__(
        self, *, base_url: str = BASE_URL, credit: str = CREDIT, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self._credit = credit
        self._api = JsonApi("Frankfurter", base_url, user_agent=user_agent(), limits=limits)
        super().__init__(self._api)

    async def convert(self, from_currency: str, to_currency: str, amount: float) -> Conversion:
        """An amount in another currency, at the latest reference rate.

        Raises:
            ApiError: there is no such currency or rate, or the service cannot be used.
        """
        base, quote = currency_code(from_currency), currency_code(to_currency)
        if base == quote:
            raise ApiError(f"{base} to {base} is no conversion: name two different currencies")
        found = await self._api.get(f"/v2/rate/{base}/{quote}", _RATE)
        return Conversion(
            amount=amount,
            from_currency=base,
            result=round(amount * found.rate, 2),
            to_currency=quote,
            rate=found.rate,
            date=found.date,
            credit=self._credit,
        )
