#!/usr/bin/env python3
"""Writes cases.jsonl: identifiers by their public specifications in sentences, and near misses that must survive.

Independent of the Rust validators: check digits are made here, from the same public documents. A line is
`["entity", "text", start, end]` in characters, or `["~entity", "text"]` for a near miss of that entity.

    python3 collector/masking/tests/data/make_cases.py
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import string
from collections.abc import Callable
from pathlib import Path

SEED = 20261121
EACH = 60
MISSES_EACH = 36

rng = random.Random(SEED)
DIGITS, UPPER, ALNUM = string.digits, string.ascii_uppercase, string.ascii_letters + string.digits
BASE64URL = ALNUM + "-_"


def pick(alphabet: str, count: int) -> str:
    """Random signs."""
    return "".join(rng.choice(alphabet) for _ in range(count))


def grouped(text: str, sizes: tuple[int, ...], separator: str) -> str:
    """Text in groups."""
    parts, at = [], 0
    for size in sizes:
        parts.append(text[at : at + size])
        at += size
    return separator.join(parts)


def other_digit(text: str, at: int) -> str:
    """The text with another digit at a place: what a slip of the pen makes."""
    at %= len(text)
    return text[:at] + rng.choice([d for d in DIGITS if d != text[at]]) + text[at + 1 :]


# --- checksums ---------------------------------------------------------------------------------------------------


def luhn(body: str) -> str:
    """ISO/IEC 7812-1."""
    for check in DIGITS:
        digits = [int(d) for d in reversed(body + check)]
        doubled = [d if i % 2 == 0 else sum(divmod(d * 2, 10)) for i, d in enumerate(digits)]
        if sum(doubled) % 10 == 0:
            return check
    raise AssertionError


def iso7064_mod11_10(body: str) -> str:
    """ISO 7064."""
    rest = 10
    for digit in body:
        rest = (rest + int(digit)) % 10 or 10
        rest = rest * 2 % 11
    return str((11 - rest) % 10)


VERHOEFF_D = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 0, 6, 7, 8, 9, 5], [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
              [3, 4, 0, 1, 2, 8, 9, 5, 6, 7], [4, 0, 1, 2, 3, 9, 5, 6, 7, 8], [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
              [6, 5, 9, 8, 7, 1, 0, 4, 3, 2], [7, 6, 5, 9, 8, 2, 1, 0, 4, 3], [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
              [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]]  # fmt: skip
VERHOEFF_P = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 5, 7, 6, 2, 8, 3, 0, 9, 4], [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
              [8, 9, 1, 6, 0, 4, 3, 5, 2, 7], [9, 4, 5, 3, 1, 2, 6, 8, 7, 0], [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
              [2, 7, 9, 3, 8, 0, 6, 4, 1, 5], [7, 0, 4, 6, 9, 1, 3, 2, 5, 8]]  # fmt: skip


def verhoeff(body: str) -> str:
    """Verhoeff (1969), by its tables."""
    for check in DIGITS:
        c = 0
        for i, digit in enumerate(reversed(body + check)):
            c = VERHOEFF_D[c][VERHOEFF_P[i % 8][int(digit)]]
        if c == 0:
            return check
    raise AssertionError


def keccak256(data: bytes) -> bytes:
    """The Keccak of Ethereum: FIPS 202 with the padding that came before the standard."""
    rotations = [[0, 36, 3, 41, 18], [1, 44, 10, 45, 2], [62, 6, 43, 15, 61], [28, 55, 25, 21, 56], [27, 20, 39, 8, 14]]
    constants, lfsr = [], 1
    for _ in range(24):
        constant = 0
        for j in range(7):
            lfsr = (lfsr << 1 ^ (lfsr >> 7) * 0x71) % 256
            constant ^= (lfsr >> 1 & 1) << ((1 << j) - 1)
        constants.append(constant)
    mask = (1 << 64) - 1
    turn = lambda x, n: (x << n | x >> (64 - n)) & mask if n else x  # noqa: E731
    padded = bytearray(data + b"\x01" + bytes(135 - len(data) % 136))
    padded[-1] |= 0x80
    a = [[0] * 5 for _ in range(5)]
    for block in range(0, len(padded), 136):
        for i in range(17):
            a[i % 5][i // 5] ^= int.from_bytes(padded[block + 8 * i : block + 8 * i + 8], "little")
        for constant in constants:
            c = [a[x][0] ^ a[x][1] ^ a[x][2] ^ a[x][3] ^ a[x][4] for x in range(5)]
            d = [c[(x - 1) % 5] ^ turn(c[(x + 1) % 5], 1) for x in range(5)]
            a = [[a[x][y] ^ d[x] for y in range(5)] for x in range(5)]
            b = [[0] * 5 for _ in range(5)]
            for x in range(5):
                for y in range(5):
                    b[y][(2 * x + 3 * y) % 5] = turn(a[x][y], rotations[x][y])
            a = [[b[x][y] ^ (~b[(x + 1) % 5][y] & b[(x + 2) % 5][y]) for y in range(5)] for x in range(5)]
            a[0][0] ^= constant
    return b"".join(a[i % 5][i // 5].to_bytes(8, "little") for i in range(4))


BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58check(payload: bytes, alphabet: str = BASE58) -> str:
    """The Bitcoin wiki's Base58Check."""
    data = payload + hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = alphabet[digit] + text
    return alphabet[0] * (len(data) - len(data.lstrip(b"\0"))) + text


def bech32(human: str, data: list[int], constant: int) -> str:
    """BIP 173 and 350."""
    signs = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

    def polymod(values: list[int]) -> int:
        check = 1
        for value in values:
            top = check >> 25
            check = (check & 0x1FFFFFF) << 5 ^ value
            for i, g in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
                check ^= g if top >> i & 1 else 0
        return check

    expanded = [ord(c) >> 5 for c in human] + [0] + [ord(c) & 31 for c in human]
    check = polymod(expanded + data + [0] * 6) ^ constant
    return human + "1" + "".join(signs[v] for v in data + [check >> 5 * (5 - i) & 31 for i in range(6)])


# --- identifiers -------------------------------------------------------------------------------------------------

NAMES = ("ada", "ben", "chloe", "dmitri", "elena", "farid", "grace", "hiro", "ines", "jonas", "kavya", "noor", "zoë")
TALK = ("please check {}", "it is {}", "here you go: {}", "{}", "I wrote {} on the form", "value={}", "({})", "«{}»",
        "{}, thanks", "My note says {}.", "Hi! {} – could you look?", "客户 {} 请", "für {} bitte")  # fmt: skip


def plain(text: str) -> tuple[str, str]:
    """A sentence that says nothing about what it holds."""
    return rng.choice(TALK), text


def beside(*contexts: str) -> Callable[[str], tuple[str, str]]:
    """A sentence with a word that says what it holds."""
    return lambda text: (rng.choice(contexts), text)


def email() -> str:
    """RFC 5322's dot-atom, RFC 6531's letters, a domain of RFC 2606."""
    local = rng.choice(NAMES) + rng.choice(["", ".", "_", "-", "+"]) + rng.choice([*NAMES, pick(DIGITS, 3)])
    return f"{local}@{rng.choice(['example.com', 'mail.example.org', 'example.co.uk', 'beispiel.example', 'xn--bcher-kva.example'])}"


def phone() -> str:
    """International and national ways of writing; numbers set aside for fiction where there are such."""
    n = rng.randrange(10)
    return [
        f"+1 {rng.choice(['212', '415', '617'])} 555 01{pick(DIGITS, 2)}",
        f"({rng.choice(['212', '415', '617'])}) 555-01{pick(DIGITS, 2)}",
        f"+44 20 7946 0{pick(DIGITS, 3)}",
        f"+4930{pick('123456789', 1)}{pick(DIGITS, 6)}",
        f"+33 1 {grouped(pick(DIGITS, 8), (2, 2, 2, 2), ' ')}",
        f"+81 3-{pick('123456789', 1)}{pick(DIGITS, 3)}-{pick(DIGITS, 4)}",
        f"+91 {pick('789', 1)}{pick(DIGITS, 4)} {pick(DIGITS, 5)}",
        f"07700 900{pick(DIGITS, 3)}",
        f"+55 11 9{pick(DIGITS, 4)}-{pick(DIGITS, 4)}",
        f"0044 1632 960{pick(DIGITS, 3)}",
    ][n]


def card() -> str:
    """Issuer prefix, length, Luhn digit."""
    prefix, length = rng.choice([("4", 16), ("51", 16), ("2221", 16), ("34", 15), ("6011", 16), ("3528", 16), ("36", 14)])
    body = prefix + pick(DIGITS, length - 1 - len(prefix))
    number = body + luhn(body)
    if length == 16:
        return grouped(number, (4, 4, 4, 4), rng.choice(["", " ", "-"]))
    return number


IBANS = (("DE", "n18"), ("FR", "n10c11n2"), ("ES", "n20"), ("NL", "a4n10"), ("GB", "a4n14"), ("BE", "n12"),
         ("IT", "a1n10c12"), ("PL", "n24"), ("CH", "n5c12"), ("NO", "n11"), ("SE", "n20"), ("MT", "a4n5c18"))  # fmt: skip


def iban() -> str:
    """ISO 13616 with the SWIFT registry's structures."""
    country, structure = rng.choice(IBANS)
    account, at = "", 0
    while at < len(structure):
        kind, at, count = structure[at], at + 1, ""
        while at < len(structure) and structure[at].isdigit():
            count, at = count + structure[at], at + 1
        account += pick({"n": DIGITS, "a": UPPER, "c": UPPER + DIGITS}[kind], int(count))
    number = int("".join(str(int(c, 36)) for c in f"{account}{country}00"))
    text = f"{country}{98 - number % 97:02d}{account}"
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4)) if rng.random() < 0.5 else text


def us_ssn() -> str:
    """SSA: area not 000, 666, 9xx; group not 00; serial not 0000."""
    area = rng.choice([n for n in range(1, 900) if n != 666])
    return f"{area:03d}-{rng.randrange(1, 100):02d}-{rng.randrange(1, 10000):04d}"


def us_itin() -> str:
    """IRS Publication 1915."""
    group = rng.choice([*range(50, 66), *range(70, 89), 90, 91, 92, *range(94, 100)])
    return f"9{pick(DIGITS, 2)}-{group}-{rng.randrange(1, 10000):04d}"


def us_ein() -> str:
    """IRS prefixes."""
    return f"{rng.choice(['01', '12', '20', '36', '47', '58', '61', '77', '82', '95', '98'])}-{rng.randrange(1, 10**7):07d}"


def us_npi() -> str:
    """45 CFR 162.406."""
    body = rng.choice("12") + pick(DIGITS, 8)
    return body + luhn("80840" + body)


def us_aba() -> str:
    """ABA routing number policy."""
    body = f"{rng.choice([*range(1, 13), *range(21, 33), *range(61, 73), 80]):02d}" + pick(DIGITS, 6)
    total = sum(int(d) * w for d, w in zip(body, (3, 7, 1, 3, 7, 1, 3, 7), strict=True))
    return body + str(-total % 10)


def uk_nino() -> str:
    """HMRC NIM39110."""
    while True:
        prefix = pick("ABCEGHJKLMNOPRSTWXYZ", 1) + pick("ABCEGHJKLMNPRSTWXYZ", 1)
        if prefix not in {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"}:
            return grouped(prefix + pick(DIGITS, 6) + pick("ABCD", 1), (2, 2, 2, 2, 1), rng.choice(["", " "]))


def uk_nhs() -> str:
    """NHS data dictionary."""
    while True:
        body = pick("46789", 1) + pick(DIGITS, 8)
        check = 11 - sum(int(d) * w for d, w in zip(body, range(10, 1, -1), strict=True)) % 11
        if check != 10:
            return grouped(body + str(check % 11), (3, 3, 4), rng.choice(["", " ", "-"]))


def de_tax_id() -> str:
    """BZSt: of ten digits one occurs twice, one not at all."""
    while True:
        digits = list(DIGITS)
        rng.shuffle(digits)
        digits[rng.randrange(10)] = rng.choice(digits)
        body = "".join(digits)
        if body[0] != "0" and len(set(body)) == 9:
            return grouped(body + iso7064_mod11_10(body), (2, 3, 3, 3), rng.choice(["", " "]))


def de_vat() -> str:
    """BZSt."""
    body = pick("123456789", 1) + pick(DIGITS, 7)
    return "DE" + body + iso7064_mod11_10(body)


def fr_nir() -> str:
    """INSEE, Corsica included."""
    department = rng.choice([f"{rng.randrange(1, 96):02d}", "2A", "2B"])
    body = f"{rng.choice('12')}{pick(DIGITS, 2)}{rng.randrange(1, 13):02d}{department}{pick(DIGITS, 6)}"
    number = int(body.replace("2A", "19", 1) if department == "2A" else body.replace("2B", "18", 1) if department == "2B" else body)
    text = f"{body}{97 - number % 97:02d}"
    return grouped(text, (1, 2, 2, 2, 3, 3, 2), " ") if rng.random() < 0.5 else text


def es_dni() -> str:
    """A letter by the remainder of 23."""
    number = pick(DIGITS, 8)
    return number + rng.choice(["", "-"]) + "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23]


def es_nie() -> str:
    """X, Y, Z stand for 0, 1, 2."""
    lead, number = rng.choice("XYZ"), pick(DIGITS, 7)
    return lead + number + "TRWAGMYFPDXBNJZSQVHLCKE"[int(str("XYZ".index(lead)) + number) % 23]


def it_fiscal_code() -> str:
    """Decreto ministeriale 23/12/1976."""
    day = rng.randrange(1, 29) + rng.choice([0, 40])
    body = pick("BCDFGLMNPRSTV", 6) + pick(DIGITS, 2) + pick("ABCDEHLMPRST", 1) + f"{day:02d}" + pick("ABCDEFGHIL", 1) + pick(DIGITS, 3)
    odd = dict(zip(DIGITS + UPPER, [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3,
                                    6, 8, 12, 14, 16, 10, 22, 25, 24, 23], strict=True))  # fmt: skip
    even = {c: int(c) if c.isdigit() else ord(c) - 65 for c in DIGITS + UPPER}
    return body + UPPER[sum(odd[c] if i % 2 == 0 else even[c] for i, c in enumerate(body)) % 26]


def pl_pesel() -> str:
    """gov.pl."""
    century = rng.choice([0, 20])
    body = f"{rng.randrange(100):02d}{rng.randrange(1, 13) + century:02d}{rng.randrange(1, 29):02d}{pick(DIGITS, 4)}"
    return body + str(-sum(int(d) * w for d, w in zip(body, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3), strict=True)) % 10)


def br_cpf() -> str:
    """Receita Federal."""
    body = pick(DIGITS, 9)
    for _ in range(2):
        body += str(sum(int(d) * w for d, w in zip(body, range(len(body) + 1, 1, -1), strict=True)) * 10 % 11 % 10)
    return f"{body[:3]}.{body[3:6]}.{body[6:9]}-{body[9:]}" if rng.random() < 0.6 else body


def in_aadhaar() -> str:
    """UIDAI."""
    body = pick("23456789", 1) + pick(DIGITS, 10)
    return grouped(body + verhoeff(body), (4, 4, 4), " ")


def in_pan() -> str:
    """Income Tax Department."""
    return pick(UPPER, 3) + pick("ABCFGHJLPT", 1) + pick(UPPER, 1) + f"{rng.randrange(1, 10000):04d}" + pick(UPPER, 1)


def ca_sin() -> str:
    """Canada Revenue Agency."""
    body = pick("1234567", 1) + pick(DIGITS, 7)
    return grouped(body + luhn(body), (3, 3, 3), rng.choice(["", " ", "-"]))


def au_tfn() -> str:
    """ATO."""
    while True:
        body = pick("123456789", 1) + pick(DIGITS, 8)
        if sum(int(d) * w for d, w in zip(body, (1, 4, 3, 7, 5, 8, 6, 9, 10), strict=True)) % 11 == 0:
            return grouped(body, (3, 3, 3), rng.choice(["", " "]))


def ipv4() -> str:
    """RFC 5737 and private ranges."""
    return rng.choice(["192.0.2.", "198.51.100.", "203.0.113.", f"10.{rng.randrange(256)}.{rng.randrange(256)}."]) + str(rng.randrange(1, 255))


def ipv6() -> str:
    """RFC 3849."""
    groups = ":".join(f"{rng.randrange(1, 65536):x}" for _ in range(rng.choice([2, 3, 6])))
    return f"2001:db8:{groups}" if groups.count(":") == 5 else f"2001:db8:{groups}::{rng.randrange(1, 65536):x}"


def mac() -> str:
    """IEEE 802 and Cisco's way of writing."""
    pairs = [f"{rng.randrange(256):02x}" for _ in range(6)]
    if not any(c.isdigit() for c in "".join(pairs)):
        pairs[0] = "00"
    text = rng.choice([":".join(pairs), "-".join(pairs), grouped("".join(pairs), (4, 4, 4), ".")])
    return text if rng.random() < 0.5 else text.upper()


def jwt() -> str:
    """RFC 7519: signed."""
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")  # noqa: E731
    header = {"alg": rng.choice(["HS256", "RS256", "ES256"]), "typ": "JWT"}
    return ".".join([part(header), part({"sub": pick(DIGITS, 8)}), pick(BASE64URL, 43)])


def private_key() -> str:
    """RFC 7468: cut short, since its content says nothing."""
    kind = rng.choice(["RSA ", "EC ", "", "OPENSSH ", "ENCRYPTED "])
    body = "\n".join(pick(ALNUM + "+/", 64) for _ in range(2))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----"


def api_key() -> str:
    """Prefix, alphabet and length as the issuers publish them."""
    hexa = "0123456789abcdef"
    return rng.choice([
        lambda: rng.choice(["AKIA", "ASIA"]) + pick(UPPER[:26] + "234567", 16),
        lambda: rng.choice(["ghp_", "gho_", "ghs_"]) + pick(ALNUM, 36),
        lambda: "github_pat_" + pick(ALNUM, 22) + "_" + pick(ALNUM, 59),
        lambda: "glpat-" + pick(BASE64URL, 20),
        lambda: f"xoxb-{pick(DIGITS, 12)}-{pick(DIGITS, 12)}-{pick(ALNUM, 24)}",
        lambda: rng.choice(["sk_live_", "rk_test_"]) + pick(ALNUM, 24),
        lambda: "AIza" + pick(BASE64URL[:-2], 35),
        lambda: "sk-proj-" + pick(ALNUM, 64),
        lambda: "sk-ant-api03-" + pick(ALNUM, 93) + "AA",
        lambda: "npm_" + pick(ALNUM, 36),
        lambda: f"SG.{pick(ALNUM, 22)}.{pick(ALNUM, 43)}",
        lambda: rng.choice(["AC", "SK"]) + pick(hexa, 32),
        lambda: "hf_" + pick(string.ascii_letters, 34),
        lambda: "dop_v1_" + pick(hexa, 64),
        lambda: "shpat_" + pick(hexa, 32),
        lambda: "dapi" + pick(hexa, 32),
        lambda: "glsa_" + pick(ALNUM, 32) + "_" + pick(hexa, 8),
    ])()  # fmt: skip


def crypto_wallet() -> str:
    """Base58Check, Bech32, EIP-55."""
    body = rng.randbytes(20)
    kind = rng.randrange(7)
    if kind < 4:
        return base58check(bytes([[0], [5], [48], [65]][kind]) + body)
    if kind == 4:
        return bech32("bc", [0] + [rng.randrange(32) for _ in range(31)] + [0], 1)
    if kind == 5:
        return bech32("bc", [1] + [rng.randrange(32) for _ in range(51)] + [0], 0x2BC830A3)
    lower = body.hex()
    digest = keccak256(lower.encode()).hex()
    return "0x" + "".join(c.upper() if int(digest[i], 16) >= 8 else c for i, c in enumerate(lower))


MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")


def date() -> str:
    """A day between 1930 and 2010."""
    y, m, d = rng.randrange(1930, 2011), rng.randrange(1, 13), rng.randrange(1, 29)
    return rng.choice([f"{y}-{m:02d}-{d:02d}", f"{d:02d}.{m:02d}.{y}", f"{m:02d}/{d:02d}/{y}", f"{d}/{m}/{y % 100:02d}",
                       f"{d} {MONTHS[m - 1]} {y}", f"{MONTHS[m - 1]} {d}, {y}", f"{d} {MONTHS[m - 1][:3]} {y}"])  # fmt: skip


def passport() -> str:
    """ICAO 9303: up to nine signs; forms of the US, UK, Germany, France, Italy."""
    return rng.choice([pick("123456789", 1) + pick(DIGITS, 8), pick(UPPER, 1) + pick(DIGITS, 8), pick(UPPER, 2) + pick(DIGITS, 7),
                       "C01X" + pick(DIGITS, 5), pick(DIGITS, 2) + pick(UPPER, 2) + pick(DIGITS, 5)])  # fmt: skip


def licence() -> str:
    """DVLA's structure, and forms of US states."""
    return rng.choice([pick(UPPER, 5) + pick(DIGITS, 6) + pick(UPPER, 2) + pick("23456789", 1) + pick(UPPER, 2), pick(UPPER, 1) + pick(DIGITS, 7),
                       f"{pick(UPPER, 1)}{pick(DIGITS, 3)}-{pick(DIGITS, 4)}-{pick(DIGITS, 4)}", pick(DIGITS, 8)])  # fmt: skip


def credentials() -> str:
    """RFC 3986's userinfo."""
    return f"{rng.choice(NAMES[:-1])}:{pick(ALNUM + '!$-_', rng.randrange(6, 16))}"


def secret() -> str:
    """What stands in a query."""
    return pick(ALNUM + "-_", rng.randrange(16, 40))


# Entity: maker, sentences, maker of near misses (several sentences of its own).
URLS = ("https://{}@db.example.com/x", "postgres://{}@db.internal.example:5432/app", "see ftp://{}@files.example.org now")
QUERIES = ("https://x.example/cb?access_token={}", "GET /v1?id=7&api_key={}&x=1", "https://x.example/a?client_secret={}&b=2",
           "https://s.example/f?X-Amz-Signature={}", "?password={} sent")  # fmt: skip


def miss_checked(maker: Callable[[], str], at: int = -1) -> Callable[[], str]:
    """One wrong digit; a maker whose slip is right again tries another."""

    def make() -> str:
        text = maker()
        places = [i for i, c in enumerate(text) if c.isdigit()]
        return other_digit(text, places[at])

    return make


def miss_letter(maker: Callable[[], str]) -> Callable[[], str]:
    """Another check letter."""

    def make() -> str:
        text = maker()
        return text[:-1] + rng.choice([c for c in "ABCDEFGHJKLMNPQRSTVWXYZ" if c != text[-1]])

    return make


NOTES = ("order {}", "ticket {} is open", "part {}", "invoice {} was paid", "{} items")
SPEC: dict[str, tuple] = {
    "email": (email, TALK, [("{}", lambda: rng.choice(["cat@home", "@handle", "a@b", "user@localhost", "5 @ 3 each", "foo@bar.1", "me @ work"]))]),
    "phone": (phone, TALK, [(n, lambda: rng.choice([pick("123456789", 1) + pick(DIGITS, 9), f"{pick('123456789', 1)},{pick(DIGITS, 3)},{pick(DIGITS, 3)}", f"+99 {pick(DIGITS, 4)}"])) for n in NOTES]),
    "card": (card, TALK, [(n, miss_checked(card)) for n in NOTES]),
    "iban": (iban, TALK, [(n, miss_checked(iban, 0)) for n in NOTES]),
    "us_ssn": (us_ssn, TALK, [(n, lambda: rng.choice(["000-12-3456", "666-12-3456", "123-00-4567", "123-45-0000", us_ssn().replace("-", "")])) for n in NOTES]),
    "us_itin": (us_itin, TALK, [(n, lambda: f"9{pick(DIGITS, 2)}-{rng.choice(['00', '12', '33', '49', '66', '69', '89', '93'])}-{pick(DIGITS, 4)}") for n in NOTES]),
    "us_ein": (us_ein, ("EIN {}", "our employer identification number is {}", "FEIN: {}", "federal tax ID {}"), [(n, lambda: f"{rng.choice('1258')}{us_ein()[1:]}") for n in NOTES] + [("EIN {}", lambda: f"{rng.choice(['17', '18', '19', '28', '49', '69', '78', '89', '96'])}-{pick(DIGITS, 7)}")]),
    "us_npi": (us_npi, ("NPI {}", "provider NPI: {}", "the national provider identifier {}"), [(n, us_npi) for n in NOTES] + [("NPI {}", miss_checked(us_npi))]),
    "us_aba": (us_aba, ("routing number {}", "ABA {}", "bank routing: {}"), [(n, us_aba) for n in NOTES] + [("routing number {}", miss_checked(us_aba))]),
    "uk_nino": (uk_nino, TALK, [(n, lambda: rng.choice(["BG", "GB", "QQ", "DA", "FY", "ZZ"]) + pick(DIGITS, 6) + "A") for n in NOTES] + [("{}", lambda: uk_nino()[:-1] + "E")]),
    "uk_nhs": (uk_nhs, ("NHS number {}", "her NHS no is {}", "NHS: {}"), [("NHS number {}", lambda: miss_checked(uk_nhs)().replace("-", " ")), *[(n, lambda: uk_nhs().replace(" ", "").replace("-", "")) for n in NOTES]]),
    "de_tax_id": (de_tax_id, TALK, [(n, miss_checked(de_tax_id)) for n in NOTES]),
    "de_vat": (de_vat, TALK, [(n, miss_checked(de_vat)) for n in NOTES]),
    "fr_nir": (fr_nir, TALK, [(n, miss_checked(fr_nir)) for n in NOTES]),
    "es_dni": (es_dni, TALK, [(n, miss_letter(es_dni)) for n in NOTES]),
    "es_nie": (es_nie, TALK, [(n, miss_letter(es_nie)) for n in NOTES]),
    "it_fiscal_code": (it_fiscal_code, TALK, [(n, miss_letter(it_fiscal_code)) for n in NOTES]),
    "pl_pesel": (pl_pesel, TALK, [(n, miss_checked(pl_pesel)) for n in NOTES]),
    "br_cpf": (br_cpf, TALK, [(n, miss_checked(br_cpf)) for n in NOTES]),
    "in_aadhaar": (in_aadhaar, TALK, [(n, miss_checked(in_aadhaar)) for n in NOTES]),
    "in_pan": (in_pan, TALK, [(n, lambda: pick(UPPER, 3) + pick("DEIKMNOQRSUVWXYZ", 1) + pick(UPPER, 1) + pick(DIGITS, 4) + pick(UPPER, 1)) for n in NOTES]),
    "ca_sin": (ca_sin, ("SIN {}", "my social insurance number is {}", "SIN: {}"), [("SIN {}", miss_checked(ca_sin)), *[(n, ca_sin) for n in NOTES]]),
    "au_tfn": (au_tfn, ("TFN {}", "tax file number {}", "my TFN is {}"), [("TFN {}", miss_checked(au_tfn)), *[(n, au_tfn) for n in NOTES]]),
    "ipv4": (ipv4, TALK, [("{}", lambda: rng.choice([f"version {rng.randrange(9)}.{rng.randrange(9)}.{rng.randrange(99)}.1", "1.2.3.4.5", f"{rng.randrange(256, 999)}.1.1.1", "192.168.1"]))]),
    "ipv6": (ipv6, TALK, [("{}", lambda: rng.choice([f"{rng.randrange(24)}:{rng.randrange(60):02d}:{rng.randrange(60):02d}", "std::vector", "a::b", "::", "ratio 16:9:4"]))]),
    "mac": (mac, TALK, [("{}", lambda: rng.choice([mac()[:-3], ":".join(pick("ghijkl", 2) for _ in range(6)), f"{rng.randrange(10, 24)}:{rng.randrange(10, 60)}:{rng.randrange(10, 60)}"]))]),
    "url_credentials": (credentials, URLS, [(u, lambda: rng.choice(NAMES[:-1])) for u in ("https://x.example/{}:1@2", "https://{}:8080/a", "http://x.example/?a={}:b")]),
    "url_secret": (secret, QUERIES, [(u, lambda: pick(string.ascii_lowercase, 6)) for u in ("https://x.example/?page={}", "?sort={}&q=token", "token={} in prose", "https://x.example/?key={}")]),
    "jwt": (jwt, TALK, [("{}", lambda: rng.choice(["eyJhbGciOiJIUzI1NiJ9", "eyJ0eXAiOiJKV1QifQ.eyJhIjoxfQ." + pick(BASE64URL, 43), "eyJ.eyJ.abc"]))]),
    "private_key": (private_key, ("{}", "my key:\n{}\nthanks"), [("{}", lambda: f"-----BEGIN CERTIFICATE-----\n{pick(ALNUM, 64)}\n-----END CERTIFICATE-----"), ("{}", lambda: "-----BEGIN PUBLIC KEY-----")]),
    "api_key": (api_key, TALK, [("{}", lambda: rng.choice(["AKIA" + pick(UPPER, 12), "ghp_" + pick(ALNUM, 20), "sk-learn-is-a-library-for-machine-learning", pick("0123456789abcdef", 40), "npm_config_cache_folder_of_mine", "hf_hub_download"]))]),
    "crypto_wallet": (crypto_wallet, TALK, [("{}", lambda: (lambda a: a[:-1] + ("q" if a[-1] != "q" else "p"))(crypto_wallet())), ("{}", lambda: pick("0123456789abcdef", 64))]),
    "date_of_birth": (date, ("born {}", "DOB: {}", "date of birth {}", "my birthday is {}", "geboren am {}", "{} is my date of birth"), [(n, date) for n in ("delivered on {}", "see you on {}", "the sale ends {}", "updated {}")]),
    "passport": (passport, ("passport {}", "my passport number is {}", "Reisepass {}", "passeport n° {}", "passport no. {}"), [(n, passport) for n in ("model {}", "serial {}", "SKU {}", "my password is {}")]),
    "driving_licence": (licence, ("driving licence {}", "driver's license {}", "DL number {}", "my licence number is {}", "Führerschein {}"), [(n, licence) for n in ("model {}", "serial {}", "SKU {}", "a software license costs {}")]),
}  # fmt: skip

PROSE = (
    "the year 2024 and 1999", "I paid $1,234.56 for 2 items", "tracking 1Z999AA10123456784", "v10.0.19041.1 update", "COVID-19", "call 911",
    "uuid 01890000-0000-7000-8000-000000000001", "hash d41d8cd98f00b204e9800998ecf8427e", "12:30:45 on 2024-01-15", "37.7749, -122.4194",
    "ISBN 978-3-16-148410-0", "room 020", "10-11-12", "3.14159265358979", "Q3-2024 at 9-to-5", "page=2&sort=asc", "x = y + 1", "f(a)=b",
    "[EMAIL] and [PHONE]", "size 10 x 20 x 30", "score 100%", "order 112-7263547-2834567", "naïve café №5 – 20 € 😀", "他在2024年买了3台",
)  # fmt: skip

# what a draw seldom makes: hardware addresses with hardly a digit
RARE = (
    ("mac", "mac {} seen", "AB-CD-EF-AB-CD-E1"), ("mac", "lost {}.", "fe-ed-be-ef-ca-1f"), ("mac", "ask {} again", "feed.beef.ca1f"),
)  # fmt: skip


def main() -> None:
    """Writes the cases."""
    cases: list[list] = []
    for entity, (maker, sentences, misses) in SPEC.items():
        for _ in range(EACH):
            sentence, identifier = rng.choice(sentences), maker()
            start = sentence.index("{}")
            cases.append([entity, sentence.replace("{}", identifier), start, start + len(identifier)])
        for _ in range(MISSES_EACH):
            sentence, make = rng.choice(misses)
            cases.append([f"~{entity}", sentence.replace("{}", make())])
    cases += [["~any", text] for text in PROSE]
    for entity, sentence, identifier in RARE:
        start = sentence.index("{}")
        cases.append([entity, sentence.replace("{}", identifier), start, start + len(identifier)])
    lines = "".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) + "\n" for case in cases)
    (Path(__file__).parent / "cases.jsonl").write_text(lines)


if __name__ == "__main__":
    main()
