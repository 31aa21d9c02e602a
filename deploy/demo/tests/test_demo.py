"""The demo's own arithmetic: what the smoke test measures with must be right itself."""

from __future__ import annotations

import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import zstandard

from driftline_demo import browser, exposition, identifiers, messages, segments, table
from driftline_demo.traffic import Journal, Phase, RouterStream, Schedule

PAGE = """# HELP x_seconds Time.
# TYPE x_seconds histogram
x_seconds_bucket{model="m",le="0.1"} 10
x_seconds_bucket{model="m",le="0.2"} 30
x_seconds_bucket{model="m",le="+Inf"} 40
x_total{model="m",outcome="a \\"b\\" }c"} 3
x_total{model="n",outcome="ok"} 4.5
plain 7
"""


class Exposition(unittest.TestCase):
    """Reading Prometheus' text format."""

    def test_series_are_summed_by_their_labels(self) -> None:
        page = exposition.Page(PAGE)
        self.assertEqual(page.sum("x_total"), 7.5)
        self.assertEqual(page.sum("x_total", model="n"), 4.5)
        self.assertEqual(page.by("x_total", "model"), {"m": 3.0, "n": 4.5})
        self.assertEqual(page.sum("plain"), 7.0)
        self.assertEqual(page.sum("x"), 0.0)

    def test_quantiles_are_of_what_came_between(self) -> None:
        newer, older = exposition.Page(PAGE), exposition.Page("")
        self.assertAlmostEqual(exposition.quantile(0.25, "x_seconds", newer, older), 0.1)
        self.assertAlmostEqual(exposition.quantile(0.5, "x_seconds", newer, older), 0.15)
        # beyond the last bound nothing is known but the bound
        self.assertAlmostEqual(exposition.quantile(0.99, "x_seconds", newer, older), 0.2)
        self.assertIsNone(exposition.quantile(0.5, "x_seconds", newer, newer))


class ThePage(unittest.TestCase):
    """Reading verdicts off the page."""

    def test_states_are_read_under_their_model(self) -> None:
        told = '{"states": [["digits", "x", "drifted"], ["router", "x", "stable"]], "documents": ["<p>"]}'
        shown = browser.Shown.parse(told)
        self.assertEqual(shown.states, {("digits", "x"): {"drifted"}, ("router", "x"): {"stable"}})
        self.assertEqual(shown.documents, ["<p>"])


class Identifiers(unittest.TestCase):
    """Planted identifiers must be ones that a masker is obliged to find."""

    def test_they_are_distinct_and_of_every_kind(self) -> None:
        planted = identifiers.distinct(1_000, seed=1)
        self.assertEqual(len({i.text for i in planted}), 1_000)
        self.assertEqual({i.entity for i in planted}, set(identifiers.MAKERS))
        self.assertEqual(planted, identifiers.distinct(1_000, seed=1))

    def test_check_digits(self) -> None:
        self.assertEqual(identifiers.luhn_digit("7992739871"), 3)
        self.assertEqual(identifiers.iban_check("GB", "WEST12345698765432"), "82")
        for identifier in identifiers.distinct(200, seed=2):
            compact = identifier.text.replace(" ", "").replace("-", "")
            if identifier.entity == "card":
                self.assertEqual(identifiers.luhn_digit(compact[:-1]), int(compact[-1]))
            if identifier.entity == "iban":
                digits = "".join(str(int(c, 36)) for c in compact[4:] + compact[:4])
                self.assertEqual(int(digits) % 97, 1)


class Messages(unittest.TestCase):
    """The grammar."""

    def test_the_same_seed_says_the_same(self) -> None:
        first, second = messages.Grammar(1), messages.Grammar(1)
        for _ in range(100):
            self.assertEqual(first.message(), second.message())

    def test_no_slot_is_left_open_and_what_is_planted_is_there(self) -> None:
        grammar = messages.Grammar(2)
        for message in [grammar.message() for _ in range(500)] + [grammar.drifted() for _ in range(100)]:
            self.assertNotRegex(message.text, "[{}]")
            self.assertIn(message.label, messages.LABELS)
            for identifier in message.planted:
                self.assertIn(identifier.text, message.text)

    def test_every_kind_of_identifier_is_planted(self) -> None:
        stream = RouterStream(3)
        planted = {i for _ in range(1_000) for i in stream.request(Phase.NORMAL).planted}
        self.assertEqual({i.entity for i in planted}, set(identifiers.MAKERS))
        self.assertGreater(len(planted), 500)


class Segments(unittest.TestCase):
    """Looking into the log."""

    def test_deleted_files_are_kept_and_frames_are_decompressed(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            watched, kept = Path(folder) / "log", Path(folder) / "kept"
            watched.mkdir()
            frames = [zstandard.compress(f"number {i} ".encode() * 50) for i in range(3)]
            with segments.SegmentKeeper(watched, kept) as keeper:
                path = watched / "1.segment"
                path.write_bytes(b"head" + b"len1".join(frames[:2]))
                time.sleep(0.3)
                with path.open("ab") as file:
                    file.write(frames[2] + b"torn" + frames[2][:20])
                path.unlink()
            (file,) = keeper.files()
            texts = b"".join(segments.contents(file))
            for i in range(3):
                self.assertIn(f"number {i} number".encode(), texts)


class Traffic(unittest.TestCase):
    """Pacing."""

    def test_due_times_are_evenly_spaced_and_lag_is_skipped(self) -> None:
        journal = Journal(keep=None)
        schedule = Schedule(100.0, journal)
        first, second = schedule.next_due(), schedule.next_due()
        self.assertAlmostEqual(second - first, 0.01)
        schedule._next -= 3.0
        late = schedule.next_due()
        self.assertGreater(late, time.monotonic() - 1.1)
        self.assertGreater(journal.skipped, 150)


class Table(unittest.TestCase):
    """The result."""

    def test_a_row_that_does_not_hold_is_counted(self) -> None:
        text = table.render([table.Row(2, "b", "1", "2", False), table.Row(1, "a " * 60, "1", "1", True)])
        self.assertIn("1 of 2 rows do not hold", text)
        self.assertLess(text.index("a a"), text.index(" b "))


if __name__ == "__main__":
    unittest.main()
