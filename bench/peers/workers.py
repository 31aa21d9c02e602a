"""FastAPI with onnxruntime in its best form: as many uvicorn workers as threads, one thread each, no batching.

python workers.py MODEL_DIR WORKERS PORT
"""

import os
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from tokenizers import Tokenizer

# A worker is a new process that imports this file; the environment tells it where the model is.
if __name__ == "__main__":
    os.environ["PEER_MODEL"] = sys.argv[1]
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.chdir(Path(__file__).parent)
    uvicorn.run(
        "workers:app", host="127.0.0.1", port=int(sys.argv[3]), workers=int(sys.argv[2]), log_level="error",
        access_log=False,
    )
else:
    folder = Path(os.environ["PEER_MODEL"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    names = {tensor.name for tensor in session.get_inputs()}
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.no_padding()

    class Ask(BaseModel):
        text: str

    app = FastAPI()

    @app.get("/health")
    async def health():
        return {}

    # Not in the thread pool: with one text at a time and one thread a worker, a hop there only costs.
    @app.post("/predict")
    async def predict(ask: Ask):
        encoded = tokenizer.encode(ask.text)
        feed = {
            "input_ids": np.array([encoded.ids], dtype=np.int64),
            "attention_mask": np.array([encoded.attention_mask], dtype=np.int64),
            "token_type_ids": np.array([encoded.type_ids], dtype=np.int64),
        }
        logits = session.run(None, {name: array for name, array in feed.items() if name in names})[0]
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return {"scores": (powers / powers.sum(axis=1, keepdims=True)).tolist()[0]}
