"""Point 7: shadows are judged with intervals, the worse one is told apart, the broken one is refused with a reason."""

from __future__ import annotations

from typing import Any

from driftline_demo import digits, router
from driftline_demo.client import fetch
from driftline_demo.paths import DEMO
from driftline_demo.processes import Whereabouts
from driftline_demo.recording import Recording
from driftline_demo.table import Row


def rows(recording: Recording, at: Whereabouts) -> list[Row]:
    """Both shadows, then the broken version."""
    overview = fetch(f"{at.analyzer}/api/v1/overview").json()
    shadows = {s["model"]: s for m in overview["models"] for s in m["shadows"]}
    return [*_shadows(shadows), *_broken(recording)]


def _shadows(shadows: dict[str, Any]) -> list[Row]:
    int8, worse = shadows.get(router.NAME), shadows.get(digits.NAME)
    if int8 is None or worse is None or not (int8["sequence"] and worse["sequence"]):
        return [Row(7, "shadows of both models", "compared", f"{sorted(shadows)}", False)]
    apart = worse["sequence"]["upper"] < int8["sequence"]["lower"]
    return [
        Row(7, "agreement of the INT8 version", "with an interval", _told(int8), int8["pairs"] > 0),
        Row(7, "agreement of the worse digits version", "its interval lies below", _told(worse), apart),
        Row(7, "verdict on the worse digits version", "reject", worse["verdict"], worse["verdict"] == "reject"),
    ]


def _told(shadow: dict[str, Any]) -> str:
    bounds = shadow["sequence"]
    interval = f"[{bounds['lower']:.4f}, {bounds['upper']:.4f}]"
    return f"{shadow['agreement']:.4f} {interval} of {shadow['pairs']} pairs: {shadow['verdict']}"


def _broken(recording: Recording) -> list[Row]:
    answer = recording.broken
    sentence = "" if answer is None else answer.text()
    reason = all(word in sentence for word in ("broken", "golden sample", "tokenizer.json"))
    refused = answer is not None and 400 <= answer.status < 500
    state = recording.broken_index.get((router.NAME, "broken"), {}).get("state", "absent")
    serving = recording.broken_index.get((router.NAME, "1"), {}).get("state", "absent")
    return [
        Row(7, "loading the broken version", "refused, says why", sentence[:300], refused and reason),
        Row(
            7,
            "its state, and that of the version that serves",
            "FAILED, READY",
            f"{state}, {serving}",
            (state, serving) == ("FAILED", "READY"),
        ),
        Row(
            7,
            "loading a version whose file is gone",
            "names the file",
            recording.lost_refusal.replace(f"{DEMO}/../../", "")[:200],
            "model.onnx" in recording.lost_refusal,
        ),
    ]
