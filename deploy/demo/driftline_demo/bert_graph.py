"""Writes a BERT sentence classifier as an ONNX graph, straight from the weights: no PyTorch, no exporter.

Inputs `input_ids` and `attention_mask`, int64 [batch, sequence]; output `logits`, float32 [batch, classes]. The graph
is BERT (post-norm encoder), mean pooling over the mask, L2 normalisation, and a linear head. `token_type_ids` are
always zero here: the first row of their table is added to the position table.

Two forms matter. GELU and the attention's scaling are written as exporters write them (a division before Erf, a
division of the scores), because ONNX Runtime fuses those patterns at load. Positions are taken by Slice up to the
sequence's length: a Gather over a Range is mis-fused by the optimiser.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


@dataclass(frozen=True)
class BertShape:
    """The figures of `config.json` that the graph needs."""

    hidden: int
    heads: int
    layers: int
    epsilon: float

    @classmethod
    def of(cls, config: dict) -> BertShape:
        """Reads them from a model's configuration."""
        return cls(
            hidden=config["hidden_size"],
            heads=config["num_attention_heads"],
            layers=config["num_hidden_layers"],
            epsilon=config["layer_norm_eps"],
        )


class _Writer:
    """Collects nodes and constants; every node has one output, whose name is returned."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: np.ndarray) -> str:
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def scalar(self, value: float) -> str:
        return self.constant(f"scalar_{value:.9g}", np.float32(value).reshape(()))

    def integers(self, *values: int) -> str:
        return self.constant("shape_" + "_".join(map(str, values)), np.array(values, dtype=np.int64))

    def op(self, kind: str, *inputs: str, name: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=f"/{name}", **attributes))
        return name


class BertClassifier:
    """Builds the graph of one classifier."""

    def __init__(self, shape: BertShape, weights: dict[str, np.ndarray]) -> None:
        self._shape = shape
        self._weights = weights
        self._writer = _Writer()

    def build(self, head_weight: np.ndarray, head_bias: np.ndarray) -> onnx.ModelProto:
        """The whole model. `head_weight` is [classes, hidden], `head_bias` [classes]."""
        write = self._writer
        hidden = self._embeddings()
        blocked = self._blocked()
        for layer in range(self._shape.layers):
            hidden = self._layer(layer, hidden, blocked)
        pooled = self._pooled(hidden)
        weight = write.constant("classifier.weight", head_weight.T.astype(np.float32))
        product = write.op("MatMul", pooled, weight, name="classifier.product")
        bias = write.constant("classifier.bias", head_bias.astype(np.float32))
        write.op("Add", product, bias, name="logits")
        return self._model(classes=len(head_bias))

    def _embeddings(self) -> str:
        write, weights = self._writer, self._weights
        words = write.constant("embeddings.word_embeddings.weight", weights["embeddings.word_embeddings.weight"])
        types = weights["embeddings.token_type_embeddings.weight"][0]
        table = weights["embeddings.position_embeddings.weight"] + types
        positions = write.constant("embeddings.position_embeddings.weight", table)
        word = write.op("Gather", words, "input_ids", name="embeddings.words", axis=0)
        length = write.op("Shape", "input_ids", name="sequence", start=1, end=2)
        position = write.op(
            "Slice", positions, write.integers(0), length, write.integers(0), name="embeddings.positions"
        )
        total = write.op("Add", word, position, name="embeddings.sum")
        return self._norm("embeddings.LayerNorm", total)

    def _blocked(self) -> str:
        """A large negative number for every padded position, shaped to be added to attention scores."""
        write = self._writer
        mask = write.op("Cast", "attention_mask", name="mask.float", to=TensorProto.FLOAT)
        wide = write.op("Unsqueeze", mask, write.integers(1, 2), name="mask.wide")
        inverse = write.op("Sub", write.scalar(1.0), wide, name="mask.inverse")
        return write.op("Mul", inverse, write.scalar(float(np.finfo(np.float32).min)), name="mask.blocked")

    def _layer(self, index: int, hidden: str, blocked: str) -> str:
        prefix = f"encoder.layer.{index}"
        attended = self._attention(f"{prefix}.attention", hidden, blocked)
        hidden = self._norm(f"{prefix}.attention.output.LayerNorm", self._add(attended, hidden))
        inner = self._gelu(f"{prefix}.gelu", self._linear(f"{prefix}.intermediate.dense", hidden))
        outer = self._linear(f"{prefix}.output.dense", inner)
        return self._norm(f"{prefix}.output.LayerNorm", self._add(outer, hidden))

    def _attention(self, prefix: str, hidden: str, blocked: str) -> str:
        write, size = self._writer, self._shape.hidden // self._shape.heads
        query = self._heads(f"{prefix}.self.query", hidden, size, perm=[0, 2, 1, 3])
        key = self._heads(f"{prefix}.self.key", hidden, size, perm=[0, 2, 3, 1])
        value = self._heads(f"{prefix}.self.value", hidden, size, perm=[0, 2, 1, 3])
        scores = write.op("MatMul", query, key, name=f"{prefix}.scores")
        scaled = write.op("Div", scores, write.scalar(math.sqrt(size)), name=f"{prefix}.scaled")
        masked = write.op("Add", scaled, blocked, name=f"{prefix}.masked")
        shares = write.op("Softmax", masked, name=f"{prefix}.shares", axis=-1)
        context = write.op("MatMul", shares, value, name=f"{prefix}.context")
        together = write.op("Transpose", context, name=f"{prefix}.together", perm=[0, 2, 1, 3])
        flat = write.op("Reshape", together, write.integers(0, 0, self._shape.hidden), name=f"{prefix}.flat")
        return self._linear(f"{prefix}.output.dense", flat)

    def _heads(self, name: str, hidden: str, size: int, perm: list[int]) -> str:
        write = self._writer
        projected = self._linear(name, hidden)
        split = write.op("Reshape", projected, write.integers(0, 0, self._shape.heads, size), name=f"{name}.split")
        return write.op("Transpose", split, name=f"{name}.turned", perm=perm)

    def _linear(self, name: str, x: str) -> str:
        write = self._writer
        weight = write.constant(f"{name}.weight", self._weights[f"{name}.weight"].T)
        bias = write.constant(f"{name}.bias", self._weights[f"{name}.bias"])
        return write.op("Add", bias, write.op("MatMul", x, weight, name=f"{name}.product"), name=f"{name}.out")

    def _add(self, a: str, b: str) -> str:
        return self._writer.op("Add", a, b, name=f"{a}.residual")

    def _norm(self, name: str, x: str) -> str:
        write = self._writer
        scale = write.constant(f"{name}.weight", self._weights[f"{name}.weight"])
        bias = write.constant(f"{name}.bias", self._weights[f"{name}.bias"])
        return write.op("LayerNormalization", x, scale, bias, name=f"{name}.out", axis=-1, epsilon=self._shape.epsilon)

    def _gelu(self, name: str, x: str) -> str:
        write = self._writer
        divided = write.op("Div", x, write.scalar(math.sqrt(2.0)), name=f"{name}.divided")
        erf = write.op("Erf", divided, name=f"{name}.erf")
        plus = write.op("Add", erf, write.scalar(1.0), name=f"{name}.plus")
        product = write.op("Mul", x, plus, name=f"{name}.product")
        return write.op("Mul", product, write.scalar(0.5), name=f"{name}.out")

    def _pooled(self, hidden: str) -> str:
        """The mean over unpadded tokens, scaled to length 1."""
        write = self._writer
        mask = write.op("Unsqueeze", "mask.float", write.integers(-1), name="pool.mask")
        kept = write.op("Mul", hidden, mask, name="pool.kept")
        total = write.op("ReduceSum", kept, write.integers(1), name="pool.sum", keepdims=0)
        count = write.op("ReduceSum", mask, write.integers(1), name="pool.count", keepdims=0)
        mean = write.op("Div", total, write.op("Max", count, write.scalar(1e-9), name="pool.least"), name="pool.mean")
        return write.op("LpNormalization", mean, name="pool.normalised", axis=-1, p=2)

    def _model(self, classes: int) -> onnx.ModelProto:
        def sequences(name: str) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])

        graph = helper.make_graph(
            self._writer.nodes,
            "bert-classifier",
            [sequences("input_ids"), sequences("attention_mask")],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])],
            list(self._writer.constants.values()),
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="driftline-demo")
        model.ir_version = 9
        onnx.checker.check_model(model)
        return model
