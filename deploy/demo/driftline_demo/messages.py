"""Support messages from a grammar: five classes, several ways to say each thing, and personal data in them.

The grammar is ours, so the labels are true by construction. Some messages touch two subjects, as real ones do: they
keep the classifier from being certain of everything, which would leave nothing to see in its confidence.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from . import identifiers

LABELS = ("billing", "shipping", "returns", "technical", "account")

CORES: dict[str, tuple[str, ...]] = {
    "billing": (
        "I was charged twice for order {order}",
        "my invoice for {month} shows the wrong amount",
        "the payment with card {card} was declined but the money is gone",
        "please send me a receipt for order {order}",
        "why is there an extra fee of {amount} on my statement",
        "the discount code {code} was not taken off the total",
        "I see a charge of {amount} that I do not recognise",
        "can I pay order {order} by bank transfer from {iban}",
        "the tax statement of {month} has my number {ssn} wrong",
    ),
    "shipping": (
        "where is my parcel, order {order} should have come {days} days ago",
        "the tracking page for {order} has not moved since {weekday}",
        "please change the delivery address of order {order}",
        "the courier left the package at the wrong house",
        "how long does delivery to {city} take",
        "my parcel arrived {days} days late and the box is wet",
        "the driver called {phone} instead of ringing the bell",
        "can you ship order {order} to {city} by {weekday}",
    ),
    "returns": (
        "I want to send back the {item} from order {order}",
        "how do I return a {item} that does not fit",
        "the {item} is broken, I would like a replacement",
        "I returned the {item} {days} days ago and heard nothing",
        "please send a return label to {email}",
        "can I exchange the {item} for a different colour",
        "the {item} in order {order} is not what I ordered, take it back",
        "is the {item} still within the return period",
    ),
    "technical": (
        "the app crashes when I open the {screen} page",
        "I get error {number} every time I press save",
        "the website does not load on my {device}",
        "the {screen} page stays blank since the update on {weekday}",
        "your server at {ip} does not answer",
        "video playback stutters on my {device} after {number} seconds",
        "the export button on the {screen} page does nothing",
        "the search finds no {item} although there are many",
    ),
    "account": (
        "I forgot my password and the reset mail to {email} never comes",
        "please change my e-mail address to {email}",
        "delete my account and all of my data",
        "I cannot log in as {name} any more",
        "how do I turn on two-factor login with {phone}",
        "someone signed in to my account from {ip}",
        "my user name is spelled wrong, it should be {name}",
        "please merge my two accounts, {email} is the old one",
        "to verify my account you asked for my social security number, it is {ssn}",
    ),
}
OPENINGS = ("", "", "", "Hello, ", "Hi there, ", "Good morning, ", "Dear team, ", "Hello, this is {name}. ", "Hey, ")
CLOSINGS = (
    "",
    "",
    "",
    " Thanks.",
    " Please help.",
    " Regards, {name}",
    " You can reach me at {phone}.",
    " My e-mail is {email}.",
    " This is the second time I write.",
    " Thank you, {name}, {email}",
    " Call {phone} or write to {email}.",
)
IDENTIFIER_SLOTS: dict[str, tuple[str, ...]] = {
    "email": ("email",),
    "phone": ("phone",),
    "card": ("card",),
    "iban": ("iban",),
    "ssn": ("us_ssn",),
    "ip": ("ipv4", "ipv4", "ipv6"),
}
# Joins a second subject to the first: the message keeps the first one's label.
ALSO = (" Also, ", " By the way, ", " And one more thing: ")

WORDS: dict[str, tuple[str, ...]] = {
    "item": ("jacket", "lamp", "kettle", "pair of boots", "backpack", "desk", "headset", "keyboard", "watch"),
    "city": ("Lisbon", "Oslo", "Denver", "Leeds", "Nagoya", "Graz", "Toronto", "Porto", "Bergen", "Austin"),
    "month": ("January", "March", "May", "June", "August", "October", "November"),
    "weekday": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"),
    "screen": ("checkout", "profile", "orders", "search", "settings", "reports"),
    "device": ("phone", "tablet", "laptop", "old computer", "television"),
}
# What the same people write after the shop opened in another country: the drift of the demo.
FOREIGN = (
    "Guten Tag, mein Paket {order} ist seit {days} Tagen überfällig und niemand antwortet mir auf meine Anfragen",
    "Ich möchte die Ware zurückschicken, wie bekomme ich einen Rücksendeschein für die Bestellung {order}",
    "Die Rechnung enthält eine Gebühr von {amount}, die ich nicht verstehe, bitte erklären Sie mir diesen Betrag",
    "Seit dem letzten Update stürzt die Anwendung auf meinem Gerät ständig ab, bitte helfen Sie mir möglichst schnell",
    "Ich kann mich nicht mehr anmelden, das Passwort wird abgelehnt, meine Adresse ist {email}",
    "Können Sie die Lieferung bitte an eine andere Anschrift schicken, meine Telefonnummer ist {phone}",
)


@dataclass(frozen=True)
class Message:
    """A message with its true class and the identifiers that stand in it."""

    text: str
    label: str
    planted: tuple[identifiers.Identifier, ...]


class Grammar:
    """Draws messages; the same seed gives the same messages."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def message(self) -> Message:
        """One message of the normal mix: the classes equally often, one in seven with a second subject."""
        rng = self._rng
        label = rng.choice(LABELS)
        pattern = rng.choice(OPENINGS) + rng.choice(CORES[label]) + rng.choice([".", ".", "!", ""])
        if rng.random() < 1 / 7:
            pattern += rng.choice(ALSO) + rng.choice(CORES[rng.choice(LABELS)]) + "."
        return self._fill(pattern + rng.choice(CLOSINGS), label)

    def drifted(self) -> Message:
        """One message after the change: another language, longer, and mostly about shipping and returns."""
        rng = self._rng
        index = rng.choice([0, 0, 0, 1, 1, 2, 3, 4, 5])
        label = ("shipping", "returns", "billing", "technical", "account", "shipping")[index]
        return self._fill(FOREIGN[index] + ".", label)

    def _fill(self, pattern: str, label: str) -> Message:
        planted: list[identifiers.Identifier] = []
        while "{" in pattern:
            start, end = pattern.index("{"), pattern.index("}")
            pattern = pattern[:start] + self._word(pattern[start + 1 : end], planted) + pattern[end + 1 :]
        return Message(pattern, label, tuple(planted))

    def _word(self, slot: str, planted: list[identifiers.Identifier]) -> str:
        rng = self._rng
        if slot in WORDS:
            return rng.choice(WORDS[slot])
        if slot in IDENTIFIER_SLOTS:
            kind = rng.choice(IDENTIFIER_SLOTS[slot])
            identifier = identifiers.MAKERS[kind](rng)
            planted.append(identifier)
            return identifier.text
        match slot:
            case "name":
                return f"{rng.choice(identifiers.FIRST_NAMES)} {rng.choice(identifiers.LAST_NAMES)}"
            case "order":
                return f"A{rng.randrange(10_000, 99_999)}"
            case "code":
                return f"SAVE{rng.randrange(5, 50)}"
            case "amount":
                return f"{rng.randrange(2, 400)}.{rng.randrange(100):02d}"
            case "days" | "number":
                return str(rng.randrange(2, 30))
        raise ValueError(f"the grammar has no slot {slot!r}")
