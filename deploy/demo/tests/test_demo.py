"""The demo's own arithmetic: what the smoke test measures with must be right itself."""

from __future__ import annotations

import sys
import tempfile
import time
import unittest
from pathlib import Path
from typing import ClassVar

sys.path.insert(0, str(Path(__file__).parents[1]))

import zstandard

from driftline_demo import browser, exposition, identifiers, messages, paths, report, segments, table
from driftline_demo.checks import exactness
from driftline_demo.monitoring import Episode, episodes
from driftline_demo.recording import Recording
from driftline_demo.traffic import Journal, Phase, Request, RouterStream, Schedule, Sent

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


class Exactness(unittest.TestCase):
    """Which phase an alert is laid at the door of."""

    BEGAN: ClassVar = {phase: 10.0 * i for i, phase in enumerate(Phase)}

    def setUp(self) -> None:
        self.journal = Journal(keep=None)

    def rows(self, fired: dict[str, float]) -> dict[str, table.Row]:
        """What the check says of a run whose phases began 10 s apart, by phase."""
        episodes = [Episode(labels(alert), at, at + 1.0) for alert, at in fired.items()]
        judged = exactness.Judged.of(Recording(self.journal, began=self.BEGAN, episodes=episodes))
        return {phase.value: exactness.phase_row(phase, judged) for phase in Phase}

    def everything(self) -> dict[str, float]:
        """Every alert that must fire, five seconds after its phase began."""
        effects = exactness.EFFECTS.items()
        return {alert: self.BEGAN[phase] + 5.0 for phase, effect in effects for alert in effect.must}

    def broken(self, fired: dict[str, float]) -> list[str]:
        """Phases whose row does not hold."""
        return [phase for phase, row in self.rows(fired).items() if not row.holds]

    def test_a_run_as_expected_holds_and_a_late_alert_does_too(self) -> None:
        late = self.everything() | {"FeatureDrift digits 1": 39.0, "ShadowVerdictReady digits 2": 1.0}
        self.assertEqual(self.broken(late), [])
        allowed = self.everything() | {"InstanceDown driftline-proxy": 45.0}
        self.assertEqual(self.broken(allowed), [])

    def test_an_alert_that_nothing_causes_is_told_where_it_fired(self) -> None:
        fired = self.everything() | {"MirrorLoss": 3.0}
        self.assertEqual(self.broken(fired), ["normal"])
        self.assertIn("MirrorLoss", self.rows(fired)["normal"].seen)

    def test_one_that_comes_before_its_cause_and_one_that_does_not_come(self) -> None:
        early = self.everything() | {"FeatureDrift digits 1": 12.0}
        self.assertEqual(self.broken(early), [Phase.KILLS.value, Phase.DRIFT.value])
        lasting = [Episode(labels("FeatureDrift digits 1"), 12.0, 25.0)]
        judged = exactness.Judged.of(Recording(self.journal, began=self.BEGAN, episodes=lasting))
        self.assertEqual(judged.fired[Phase.DRIFT], {"FeatureDrift digits 1": 0.0})
        self.assertEqual(judged.strange[Phase.KILLS], {"FeatureDrift digits 1"})
        self.assertEqual(self.broken(self.everything() | {"InstanceDown driftline-proxy": 25.0}), [Phase.DRIFT.value])
        missing = self.everything()
        del missing["FeatureDrift digits 1"]
        self.assertEqual(self.broken(missing), [Phase.DRIFT.value])

    def test_a_ticket_for_latency_is_right_where_its_callers_waited_and_a_page_is_not(self) -> None:
        ticket = self.everything() | {"SloBurnTicket router-latency": 5.0}
        self.assertEqual(self.broken(ticket), ["normal", "fault"])
        request = Request("/", {}, ())
        for i in range(100):
            seconds = 0.5 if i < 4 else 0.1
            self.journal.add(Sent("support-router", Phase.NORMAL, 1.0, seconds, 200, None, request, None))
        # the fault's own is still awaited
        self.assertEqual(self.broken(ticket), ["fault"])
        self.assertIn("4 of 100", exactness.missed(self.journal.all(), "SloBurnTicket router-latency", 5.0))
        self.assertEqual(self.broken(self.everything() | {"SloBurnPage router-latency": 5.0}), ["normal", "fault"])

    def test_no_alert_has_two_causes_and_each_has_a_reason(self) -> None:
        alerts = [a for effect in exactness.EFFECTS.values() for a in (*effect.must, *effect.may)]
        self.assertEqual(len(alerts), len(set(alerts)))
        self.assertTrue(all(why for e in exactness.EFFECTS.values() for why in (*e.must.values(), *e.may.values())))
        self.assertLessEqual(exactness.QUIETED.keys(), set(alerts))

    def test_an_alert_is_named_by_what_it_is_about(self) -> None:
        named = ("SloBurnPage s", "ModelLoadFailed m 1 r", "ConceptDrift m both", "InstanceDown j", "CollectorBacklog")
        for alert in named:
            self.assertEqual(exactness.about(labels(alert)), alert)
        of_slo = {"alertname": "DriftlineSloBurnPage", "slo": "s", "model": "m"}
        self.assertEqual(exactness.about(of_slo), "SloBurnPage s")

    def test_a_series_is_cut_where_the_alert_did_not_fire(self) -> None:
        values = [[t, "1"] for t in (1, 2, 3, 20, 21)]
        found = episodes({"metric": {"alertname": "A", "__name__": "ALERTS", "alertstate": "firing"}, "values": values})
        self.assertEqual([(e.began, e.ended) for e in found], [(1, 3), (20, 21)])
        self.assertEqual(found[0].labels, {"alertname": "A"})


def labels(alert: str) -> dict[str, str]:
    """Labels of an alert that is named so."""
    name, *about = alert.split(" ")
    keys = {"SloBurnPage": ("slo",), "SloBurnTicket": ("slo",), "SloSeriesMissing": ("slo",), "InstanceDown": ("job",)}
    of_model = {"SchemaViolations": ("model", "reason"), "ConceptDrift": ("model", "state")}.get(
        name, ("model", "version", "reason")
    )
    pairs = zip(keys.get(name, of_model), about, strict=False)
    return {"alertname": f"Driftline{name}"} | dict(pairs)


class Report(unittest.TestCase):
    """What docs/SMOKE.md is made of."""

    def test_a_table_takes_its_place_again_and_again(self) -> None:
        page = "# Page\n<!-- a -->\nold\n<!-- /a -->\nend\n"
        once = report.between(page, "a", "new")
        self.assertEqual(once, "# Page\n<!-- a -->\n\nnew\n\n<!-- /a -->\nend\n")
        self.assertEqual(report.between(once, "a", "new"), once)
        self.assertRaises(ValueError, report.between, page, "b", "new")

    def test_the_page_has_a_place_for_both_tables(self) -> None:
        page = (paths.ROOT / "docs" / "SMOKE.md").read_text(encoding="utf-8")
        for name in ("smoke", "smoke-alerts"):
            self.assertIn("new", report.between(page, name, "new"))


class Table(unittest.TestCase):
    """The result."""

    def test_a_row_that_does_not_hold_is_counted(self) -> None:
        text = table.render([table.Row(2, "b", "1", "2", False), table.Row(1, "a " * 60, "1", "1", True)])
        self.assertIn("1 of 2 rows do not hold", text)
        self.assertLess(text.index("a a"), text.index(" b "))


if __name__ == "__main__":
    unittest.main()
