"""Requests that put identifiers where nobody expects them: names, headers, broken bodies, tensors.

None of them may turn up in a metric, a log, a table or a page. Their answers are 4xx, so they are kept apart from the
traffic whose answers must all be 2xx.
"""

from __future__ import annotations

import json
from urllib.parse import quote

from .client import Answer, Client
from .identifiers import Identifier

ROUTER, DIGITS = "support-router", "digits"


def text_tensor(text: str) -> dict:
    """A text as the Open Inference Protocol carries it."""
    return {"name": "text", "datatype": "BYTES", "shape": [1], "data": [text]}


def send(proxy: str, identifiers: list[Identifier]) -> list[Answer]:
    """Sends all of them, a group for each identifier; the answers."""
    client = Client(proxy)
    answers: list[Answer] = []
    for identifier in identifiers:
        word = identifier.text
        path = quote(word, safe="")
        json_headers = {"content-type": "application/json"}
        answers += [
            client.post(f"/v1/models/{path}/predict", {"text": word}),
            client.post(f"/v2/models/{ROUTER}/versions/{path}/infer", {"inputs": [text_tensor(word)]}),
            client.post(f"/v1/models/{ROUTER}/predict", {word: word}),
            client.send("POST", f"/v1/models/{ROUTER}/predict", f'{{"text": "{word}'.encode(), json_headers),
            client.post(f"/v2/models/{ROUTER}/infer", {"id": word, "inputs": [text_tensor(f"call me: {word}")]}),
            client.post(f"/v2/models/{ROUTER}/infer", {"inputs": [text_tensor("fine")], "outputs": [{"name": word}]}),
            client.post(
                f"/v2/models/{DIGITS}/infer",
                {"inputs": [{"name": word, "datatype": "FP32", "shape": [1, 1], "data": [1.0]}]},
            ),
            client.post(
                f"/v2/models/{DIGITS}/infer",
                {"inputs": [{"name": "input", "datatype": word, "shape": [1, 64], "data": [word]}]},
            ),
            client.post(
                f"/v1/models/{ROUTER}/predict", {"text": json.dumps({"customer": word})}, {"driftline-client": word}
            ),
        ]
    client.close()
    return answers
