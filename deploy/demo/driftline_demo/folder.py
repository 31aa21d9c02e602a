"""Writes a model version's folder as the proxy reads it: the files, the hashes, the golden samples.

The format is described in docs/model-folder.md.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: object) -> None:
    """Writes indented JSON with a newline at its end."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def text_sample(name: str, text: str, ids: list[int], scores: np.ndarray, tolerance: float) -> dict[str, Any]:
    """A golden sample of a text classifier."""
    return {
        "name": name,
        "text": text,
        "expected_ids": ids,
        "expected_scores": [float(s) for s in scores],
        "tolerance": tolerance,
    }


def row_sample(name: str, row: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    """A golden sample of a classifier of table rows."""
    tensor = {"name": "input", "datatype": "FP32", "shape": [1, len(row)], "data": [float(x) for x in row]}
    return {"name": name, "tensors": [tensor], "expected_scores": [float(s) for s in scores]}


def seal(folder: Path, golden: list[dict[str, Any]]) -> None:
    """Writes the manifest over everything that lies in the folder."""
    files = {p.name: sha256(p) for p in sorted(folder.iterdir()) if p.name != "driftline.manifest.json"}
    write_json(folder / "driftline.manifest.json", {"manifest": 1, "files": files, "golden": golden})


def replace(folder: Path, fill: Callable[[Path], None]) -> None:
    """Makes `folder` anew beside its place and swaps it in, so that a broken build leaves no half of a model."""
    unfinished = folder.with_name(folder.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    fill(unfinished)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities along the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def output_features(scores: np.ndarray, labels: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Label, confidence, margin and entropy (nats) of class probabilities [n, classes], by the proxy's names."""
    ordered = np.sort(scores.astype(np.float64), axis=1)
    positive = np.where(scores > 0, scores, 1.0).astype(np.float64)
    return {
        "output.label": np.array(labels)[scores.argmax(axis=1)],
        "output.confidence": ordered[:, -1],
        "output.margin": ordered[:, -1] - ordered[:, -2],
        "output.entropy": -(positive * np.log(positive)).sum(axis=1),
    }


def write_reference(path: Path, columns: dict[str, np.ndarray]) -> None:
    """A reference as CSV, one column a feature."""
    names = list(columns)
    rows = zip(*(columns[n] for n in names), strict=True)
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join(names) + "\n")
        file.writelines(",".join(v if isinstance(v, str) else f"{v:.9g}" for v in row) + "\n" for row in rows)
