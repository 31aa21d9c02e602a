"""The live status: what the demo shows while it runs, from `/metrics` and the analyzer's API."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from . import exposition
from .client import fetch
from .processes import Whereabouts

MODELS = ("support-router", "digits")
# Rates and quantiles are taken over so many seconds.
SPAN_SECONDS = 10.0
FEATURES_SHOWN = 3


@dataclass(frozen=True)
class Reading:
    """What the three roles said at one time."""

    at: float
    proxy: exposition.Page
    collector: exposition.Page
    overview: dict[str, Any]


def read(at: Whereabouts) -> Reading:
    """Asks all three; a role that is away gives an empty page."""

    def page(base: str) -> exposition.Page:
        return exposition.Page(fetch(f"{base}/metrics", timeout=3.0).text())

    overview = fetch(f"{at.analyzer}/api/v1/overview", timeout=3.0)
    return Reading(time.monotonic(), page(at.proxy), page(at.collector), overview.json() if overview.ok else {})


class Status:
    """Keeps readings of the last seconds and renders them."""

    def __init__(self, at: Whereabouts) -> None:
        self._at = at
        self._readings: list[Reading] = []

    def update(self) -> None:
        """Takes a reading."""
        self._readings.append(read(self._at))
        newest = self._readings[-1].at
        self._readings = [r for r in self._readings if newest - r.at <= SPAN_SECONDS + 1.0]

    def lines(self, header: str) -> list[str]:
        """The status as text, without a width limit."""
        newer, older = self._readings[-1], self._readings[0]
        models = {m["model"]: m for m in newer.overview.get("models", [])}
        out = [header, ""]
        out += [f"{'model':16}{'req/s':>7}{'ok':>8}{'p50':>9}{'p95':>9}{'p99':>9}   confidence          drift"]
        out += [self._model(name, models.get(name, {}), newer, older) for name in MODELS]
        out += ["", *drift_lines(models), *shadow_lines(models), *slo_lines(newer.overview)]
        out += [
            "",
            *pipeline_lines(newer),
            "",
            f"page {self._at.analyzer}/   predict {self._at.proxy}/   "
            f"collector {self._at.collector}/   clickhouse {self._at.clickhouse}/",
        ]
        return out

    def _model(self, name: str, seen: dict[str, Any], newer: Reading, older: Reading) -> str:
        requests = "driftline_proxy_requests_total"
        seconds = max(newer.at - older.at, 1e-9)
        total = newer.proxy.sum(requests, model=name, role="primary") - older.proxy.sum(
            requests, model=name, role="primary"
        )
        ok = newer.proxy.sum(requests, model=name, role="primary", outcome="ok") - older.proxy.sum(
            requests, model=name, role="primary", outcome="ok"
        )
        quantiles = [
            exposition.quantile(q, "driftline_proxy_request_seconds", newer.proxy, older.proxy, model=name)
            for q in (0.5, 0.95, 0.99)
        ]
        confidence = seen.get("confidence_mean")
        share = f"{ok / total:.1%}" if total else "-"
        return (
            f"{name:16}{total / seconds:7.1f}{share:>8}"
            + "".join(f"{milliseconds(q):>9}" for q in quantiles)
            + f"   {bar(confidence)}  {seen.get('state', 'no verdict yet')}"
        )


def milliseconds(seconds: float | None) -> str:
    """A duration for people."""
    if seconds is None:
        return "-"
    return f"{seconds * 1e3:.1f} ms" if seconds < 0.1 else f"{seconds * 1e3:.0f} ms"


def bar(share: float | None, width: int = 12) -> str:
    """A number from 0 to 1, drawn and written."""
    if share is None:
        return f"{'-':{width + 6}}"
    full = round(share * width)
    return "█" * full + "░" * (width - full) + f" {share:.3f}"


def decimal(value: float | None) -> str:
    """A statistic, or a dash."""
    return "-" if value is None else f"{value:.3f}"


def drift_lines(models: dict[str, Any]) -> list[str]:
    """The strongest features of each model."""
    out = [f"{'drift':26}{'at least':>9}{'at most':>9}{'PSI':>9}{'values':>8}  verdict"]
    for name, model in models.items():
        features = [f for f in model["features"] if f["ks_lower"] is not None]
        if not features:
            continue
        drifted = sum(f["state"] == "drifted" for f in features)
        out.append(f"  {name}: {drifted} of {len(model['features'])} features drifted")
        features.sort(key=lambda f: (f["state"] == "drifted", f["ks_lower"]), reverse=True)
        for feature in features[:FEATURES_SHOWN]:
            bounds = "".join(f"{decimal(feature[key]):>9}" for key in ("ks_lower", "ks_upper", "psi"))
            out.append(f"    {feature['feature']:22}{bounds}{feature['n']:8}  {feature['state']}")
    return out


def shadow_lines(models: dict[str, Any]) -> list[str]:
    """Agreement with its bounds, a line a shadow."""
    out = ["shadow"]
    for model in models.values():
        for shadow in model["shadows"]:
            bounds = shadow["sequence"] or {"lower": None, "upper": None}
            interval = f"[{decimal(bounds['lower'])}, {decimal(bounds['upper'])}]"
            agreement = f"agrees {decimal(shadow['agreement'])} {interval} of {shadow['pairs']} pairs"
            out.append(f"  {shadow['model']} {shadow['shadow']}: {agreement}: {shadow['verdict']}")
    return out


def slo_lines(overview: dict[str, Any]) -> list[str]:
    """Budget and burn, a line an objective."""
    out = ["objective                    promised  budget left  burn"]
    for slo in overview.get("slos", []):
        left = slo["budget_remaining"]
        burn = "  ".join(f"{b['window']} {'-' if b['rate'] is None else format(b['rate'], '.1f')}" for b in slo["burn"])
        share = "-" if left is None else f"{left:.1%}"
        out.append(f"  {slo['slo']:25}{slo['objective']:8.2f} %{share:>12}   {burn}")
    return out


def pipeline_lines(reading: Reading) -> list[str]:
    """Masked entities by kind, and the ledger."""
    masked = reading.proxy.by("driftline_mirror_masked_entities_total", "entity")
    words = "  ".join(f"{kind} {count:.0f}" for kind, count in sorted(masked.items()) if count) or "none yet"
    observed = reading.proxy.sum("driftline_mirror_observed_observations_total")
    delivered = reading.proxy.sum("driftline_mirror_delivered_observations_total")
    dropped = reading.proxy.sum("driftline_mirror_dropped_observations_total")
    flying = reading.proxy.sum("driftline_mirror_in_flight_observations")
    second = reading.collector.sum("driftline_collector_second_pass_hits_total", source="proxy")
    stored = reading.overview.get("pipeline", {}).get("observations", 0)
    balance = f"delivered {delivered:.0f} + dropped {dropped:.0f} + in flight {flying:.0f}"
    return [
        f"masked    {words}   (second pass found {second:.0f})",
        f"ledger    observed {observed:.0f} = {balance};  rows in ClickHouse {stored}",
    ]
