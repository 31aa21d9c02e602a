"""Personal identifiers that look real and belong to nobody, from a seeded generator.

The training messages carry them, so that the model knows such texts; the traffic plants them, so that the smoke test
can look for each of them everywhere afterwards. Ranges are those set aside for fiction and documentation where there
are such: `example.com`, `555-01xx` telephone numbers, RFC 5737 and RFC 3849 addresses.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

FIRST_NAMES = ("Ada", "Ben", "Chloe", "Dmitri", "Elena", "Farid", "Grace", "Hiro", "Ines", "Jonas", "Kavya", "Noor")
LAST_NAMES = ("Abbott", "Becker", "Castillo", "Dubois", "Eriksen", "Fischer", "Garcia", "Haddad", "Jensen", "Okafor")
# Country, length of the account part, its alphabet: enough to vary lengths, letters and digits.
IBAN_FORMATS = (("DE", 18), ("FR", 23), ("ES", 20), ("NL", 14), ("GB", 18), ("BE", 12))


@dataclass(frozen=True)
class Identifier:
    """One identifier: what kind it is (the entity's name in our metrics) and how it is written."""

    entity: str
    text: str


def luhn_digit(digits: str) -> int:
    """The check digit that makes `digits` plus it pass the Luhn test (ISO/IEC 7812-1)."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if position % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return -total % 10


def iban_check(country: str, account: str) -> str:
    """The two check digits of an IBAN (ISO 13616, mod 97)."""
    digits = "".join(str(int(c, 36)) for c in f"{account}{country}00")
    return f"{98 - int(digits) % 97:02d}"


def email(rng: random.Random) -> Identifier:
    """An e-mail address in a domain that is reserved for examples."""
    first, last = rng.choice(FIRST_NAMES).lower(), rng.choice(LAST_NAMES).lower()
    separator = rng.choice([".", "_", "-", ""])
    domain = rng.choice(["example.com", "example.org", "example.net", "mail.example.com"])
    return Identifier("email", f"{first}{separator}{last}{rng.randrange(1000, 99999)}@{domain}")


def phone(rng: random.Random) -> Identifier:
    """A North American telephone number out of the block that is reserved for fiction, or one written abroad."""
    area, line = rng.choice([202, 212, 305, 415, 503, 617, 702]), rng.randrange(100, 200)
    style = rng.randrange(4)
    if style == 0:
        return Identifier("phone", f"+1 {area} 555 0{line}")
    if style == 1:
        return Identifier("phone", f"({area}) 555-0{line}")
    if style == 2:
        return Identifier("phone", f"+44 20 7946 0{rng.randrange(100, 1000)}")
    return Identifier("phone", f"+1-{area}-555-0{line}")


def card(rng: random.Random) -> Identifier:
    """A payment card number with a right check digit, written together, with blanks or with dashes."""
    prefix = rng.choice(["4", "51", "52", "55"])
    digits = prefix + "".join(str(rng.randrange(10)) for _ in range(15 - len(prefix)))
    digits += str(luhn_digit(digits))
    separator = rng.choice(["", " ", "-"])
    return Identifier("card", separator.join(digits[i : i + 4] for i in range(0, 16, 4)))


def iban(rng: random.Random) -> Identifier:
    """An IBAN with right check digits, written together or in groups of four."""
    country, length = rng.choice(IBAN_FORMATS)
    account = "".join(str(rng.randrange(10)) for _ in range(length))
    if country in ("NL", "GB"):
        account = rng.choice(["INGB", "ABNA", "BARC", "LOYD"]) + account[4:]
    number = f"{country}{iban_check(country, account)}{account}"
    if rng.random() < 0.5:
        number = " ".join(number[i : i + 4] for i in range(0, len(number), 4))
    return Identifier("iban", number)


def us_ssn(rng: random.Random) -> Identifier:
    """A United States social security number of a form that could have been issued."""
    area = rng.choice([n for n in range(1, 773) if n != 666])
    return Identifier("us_ssn", f"{area:03d}-{rng.randrange(1, 100):02d}-{rng.randrange(1, 10000):04d}")


def ipv4(rng: random.Random) -> Identifier:
    """An IPv4 address."""
    network = rng.choice(["192.0.2", "198.51.100", "203.0.113", f"10.{rng.randrange(256)}.{rng.randrange(256)}"])
    return Identifier("ipv4", f"{network}.{rng.randrange(1, 255)}")


def ipv6(rng: random.Random) -> Identifier:
    """An IPv6 address out of the block for documentation."""
    groups = [f"{rng.randrange(1, 65536):x}" for _ in range(rng.randrange(2, 5))]
    return Identifier("ipv6", f"2001:db8:{':'.join(groups)}::{rng.randrange(1, 65536):x}")


MAKERS: dict[str, Callable[[random.Random], Identifier]] = {
    "email": email,
    "phone": phone,
    "card": card,
    "iban": iban,
    "us_ssn": us_ssn,
    "ipv4": ipv4,
    "ipv6": ipv6,
}


def distinct(count: int, seed: int) -> list[Identifier]:
    """`count` different identifiers, the kinds in turn."""
    rng = random.Random(seed)
    kinds = list(MAKERS)
    found: dict[str, Identifier] = {}
    misses = 0
    while len(found) < count:
        identifier = MAKERS[kinds[(len(found) + misses) % len(kinds)]](rng)
        misses += identifier.text in found
        found.setdefault(identifier.text, identifier)
    return list(found.values())
