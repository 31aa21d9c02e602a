"""Point 1: every answer outside the fault is 2xx, and the scores are ONNX Runtime's."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import onnxruntime

from driftline_demo import digits, folder, paths, router
from driftline_demo.recording import Recording
from driftline_demo.table import Row
from driftline_demo.traffic import Phase, Sent

SAMPLES = 200
TOLERANCE = 1e-4


def rows(recording: Recording) -> list[Row]:
    """Statuses, then the scores of both models."""
    sent = recording.journal.all()
    good = [s for s in sent if s.phase is not Phase.FAULT]
    statuses = Counter(s.status for s in good)
    bad = {status: n for status, n in statuses.items() if not 200 <= status < 300}
    during = Counter(s.status for s in sent if s.phase is Phase.FAULT)
    return [
        Row(1, "answers in phases without a fault", "all 2xx", f"{len(good)} sent, not 2xx: {bad or 'none'}", not bad),
        Row(1, "answers in the fault phase", "some 503", f"{dict(during)}", during[503] > 0 and during[200] > 0),
        _router_scores(good),
        _digits_scores(good),
    ]


def _sample(sent: list[Sent], stream: str) -> list[Sent]:
    answered = [s for s in sent if s.stream == stream and s.answer is not None]
    return random.Random(1).sample(answered, min(SAMPLES, len(answered)))


def _row(model: str, differences: list[float]) -> Row:
    largest = max(differences, default=float("inf"))
    holds = len(differences) >= SAMPLES and largest <= TOLERANCE
    seen = f"{largest:.1e} over {len(differences)} samples"
    return Row(1, f"scores of {model} against ONNX Runtime in Python", f"within {TOLERANCE:.0e}", seen, holds)


def _router_scores(sent: list[Sent]) -> Row:
    version = paths.MODELS / router.NAME / "1"
    scorer = router.Scorer(version / "model.onnx", router.Encoder(version / "tokenizer.json"))
    differences = []
    for one in _sample(sent, router.NAME):
        expected = folder.softmax(scorer.one(one.request.body["text"]))
        served = one.answer["predictions"][0]["scores"]
        differences.append(max(abs(served[label] - e) for label, e in zip(router.LABELS, expected, strict=True)))
    return _row(router.NAME, differences)


def _digits_scores(sent: list[Sent]) -> Row:
    session = onnxruntime.InferenceSession(paths.MODELS / digits.NAME / "1" / "model.onnx")
    differences = []
    for one in _sample(sent, digits.NAME):
        tensor = one.request.body["inputs"][0]
        pixels = np.array(tensor["data"], dtype=np.float32).reshape(tensor["shape"])
        expected = session.run(["probabilities"], {"input": pixels})[0]
        (served,) = [o["data"] for o in one.answer["outputs"] if o["name"] == "probabilities"]
        differences.append(float(np.abs(expected.ravel() - np.array(served)).max()))
    return _row(digits.NAME, differences)
