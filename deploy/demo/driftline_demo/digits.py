"""The model `digits`: a scikit-learn classifier of the handwritten digits that scikit-learn bundles.

Half of the 1,797 images trains version 1 and is the reference; the other half is the traffic. Version 2 is the same
kind of model trained on 60 images: worse, and a shadow has to show it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from . import folder

NAME = "digits"
LABELS = tuple(str(d) for d in range(10))
COLUMNS = tuple(f"px_{row}_{column}" for row in range(8) for column in range(8))
# a pixel's largest value, from 0
BRIGHTEST = 16
SPLIT_SEED = 5
WORSE_ROWS = 60
# Weaker than .1, with which it is right in .95 of the images and sure of .87: a model that is not calibrated before
# anything happens, which is an alert of its own.
REGULARISATION = 1.0


def halves() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images and labels, traffic images and labels; images are float32 rows of 64 pixels from 0 to 16."""
    data = load_digits()
    images = data.data.astype(np.float32)
    train, traffic, train_labels, traffic_labels = train_test_split(
        images, data.target, test_size=0.5, random_state=SPLIT_SEED, stratify=data.target
    )
    return train, train_labels, traffic, traffic_labels


def train_classifier(images: np.ndarray, labels: np.ndarray) -> Pipeline:
    """Scaled multinomial logistic regression."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=REGULARISATION, max_iter=2_000)).fit(images, labels)


class Graph:
    """A classifier as ONNX, and what ONNX Runtime makes of it."""

    def __init__(self, classifier: Pipeline) -> None:
        rows = FloatTensorType([None, len(COLUMNS)])
        model = to_onnx(classifier, initial_types=[("input", rows)], options={"zipmap": False}, target_opset=17)
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
        self.bytes = model.SerializeToString()
        self._session = onnxruntime.InferenceSession(self.bytes, providers=["CPUExecutionProvider"])

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """Class probabilities [n, 10]."""
        return self._session.run(["probabilities"], {"input": rows})[0]


def version(target: Path, graph: Graph, rows: np.ndarray, labels: np.ndarray) -> None:
    """Writes one version with a golden sample a digit."""
    columns = ", ".join(f'"{c}"' for c in COLUMNS)
    ranges = ", ".join(f"{c} = [0, {BRIGHTEST}]" for c in COLUMNS)
    names = ", ".join(f'"{label}"' for label in LABELS)
    settings = f"""task = "tensor"
probabilities = "probabilities"
labels = [{names}]

[inputs.input]
columns = [{columns}]
ranges = {{ {ranges} }}
"""

    def fill(unfinished: Path) -> None:
        (unfinished / "model.onnx").write_bytes(graph.bytes)
        (unfinished / "driftline.toml").write_text(settings, encoding="utf-8")
        first = [int(np.flatnonzero(labels == digit)[0]) for digit in range(10)]
        golden = [
            folder.row_sample(f"a {digit}", rows[i], graph.scores(rows[i : i + 1])[0]) for digit, i in enumerate(first)
        ]
        folder.seal(unfinished, golden)

    folder.replace(target, fill)


def build(target: Path) -> str:
    """Builds both versions, the reference and the traffic; returns a line about them."""
    train, train_labels, traffic, traffic_labels = halves()
    good = Graph(train_classifier(train, train_labels))
    worse = Graph(train_classifier(train[:WORSE_ROWS], train_labels[:WORSE_ROWS]))
    version(target / "1", good, train, train_labels)
    version(target / "2", worse, train, train_labels)
    reference = {f"input.{c}": train[:, i] for i, c in enumerate(COLUMNS)}
    folder.write_reference(target / "reference.csv", reference | folder.output_features(good.scores(train), LABELS))
    pixels = {c: traffic[:, i] for i, c in enumerate(COLUMNS)}
    folder.write_reference(target / "traffic.csv", pixels | {"label": np.array([str(d) for d in traffic_labels])})
    accuracy = [np.mean(g.scores(traffic).argmax(axis=1) == traffic_labels) for g in (good, worse)]
    agreement = np.mean(good.scores(traffic).argmax(axis=1) == worse.scores(traffic).argmax(axis=1))
    return f"accuracy {accuracy[0]:.3f}, the worse one {accuracy[1]:.3f}, they agree in {agreement:.3f}"
