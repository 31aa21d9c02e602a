"""FastAPI with onnxruntime and the usual asyncio batcher: up to 8 texts, waiting at most 100 ms.

python batcher.py MODEL_DIR THREADS PORT
"""

import asyncio
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from tokenizers import Tokenizer

BATCH, WAIT_SECONDS = 8, 0.1
folder, threads, port = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
names = {tensor.name for tensor in session.get_inputs()}
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.enable_truncation(256)
tokenizer.enable_padding()


class Ask(BaseModel):
    text: str


app = FastAPI()
queue: asyncio.Queue = asyncio.Queue()


def run(texts):
    encoded = tokenizer.encode_batch(texts)
    feed = {
        "input_ids": np.array([e.ids for e in encoded], dtype=np.int64),
        "attention_mask": np.array([e.attention_mask for e in encoded], dtype=np.int64),
        "token_type_ids": np.array([e.type_ids for e in encoded], dtype=np.int64),
    }
    logits = session.run(None, {name: array for name, array in feed.items() if name in names})[0]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).tolist()


async def batcher():
    loop = asyncio.get_running_loop()
    while True:
        asked = [await queue.get()]
        until = loop.time() + WAIT_SECONDS
        while len(asked) < BATCH:
            try:
                asked.append(await asyncio.wait_for(queue.get(), until - loop.time()))
            except asyncio.TimeoutError:
                break
        answers = await loop.run_in_executor(None, run, [text for text, _ in asked])
        for (_, future), answer in zip(asked, answers):
            future.set_result(answer)


@app.on_event("startup")
async def start():
    app.state.batcher = asyncio.create_task(batcher())


@app.get("/health")
async def health():
    return {}


@app.post("/predict")
async def predict(ask: Ask):
    future = asyncio.get_running_loop().create_future()
    await queue.put((ask.text, future))
    return {"scores": await future}


uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)
