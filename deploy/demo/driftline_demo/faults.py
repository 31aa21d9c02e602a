"""Faults that an operations team would meet, made from outside: no fault flag exists in the product.

Latency: the proxy is stopped and continued in short pulses (SIGSTOP, SIGCONT), as on a machine that has no processor
time to give. Errors: a model's file is taken away and the model is told to unload, so that it cannot come back until
the file does.
"""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

from . import paths
from .client import Answer, Client
from .processes import Driftline

# A server sees how long a request took only from where it read it. So the runs are shorter than the queue that the stops
# leave: most requests are read in one run and answered in a later one, however fast the model is.
RUN_SECONDS, STOPPED_SECONDS = 0.05, 0.45


def latency_pulses(driftline: Driftline, seconds: float, until: threading.Event | None = None) -> int:
    """Starves the proxy for `seconds`; the number of pulses."""
    end = time.monotonic() + seconds
    pulses = 0
    try:
        while time.monotonic() < end and not (until and until.is_set()):
            driftline.signal("proxy", signal.SIGSTOP)
            time.sleep(STOPPED_SECONDS)
            driftline.signal("proxy", signal.SIGCONT)
            time.sleep(RUN_SECONDS)
            pulses += 1
    finally:
        driftline.signal("proxy", signal.SIGCONT)
    return pulses


class LostModel:
    """A model whose file is gone and which was unloaded; use it in a `with`, at whose end it is back."""

    def __init__(self, proxy: str, model: str = "digits", version: str = "1", models: Path = paths.MODELS) -> None:
        self._client = Client(proxy)
        self._model = model
        self._file = models / model / version / "model.onnx"
        self._aside = self._file.with_suffix(".onnx.away")
        self.refusal = ""

    def __enter__(self) -> LostModel:
        self._file.rename(self._aside)
        unloaded = self._repository("unload")
        if not unloaded.ok:
            self._aside.rename(self._file)
            raise RuntimeError(f"cannot unload {self._model}: {unloaded.status} {unloaded.text()}")
        # an attempt to bring it back has to say what is missing
        self.refusal = self._repository("load").text()
        return self

    def __exit__(self, *_: object) -> None:
        if self._aside.exists():
            self._aside.rename(self._file)
        loaded = self._repository("load")
        self._client.close()
        if not loaded.ok:
            raise RuntimeError(f"cannot load {self._model} again: {loaded.status} {loaded.text()}")

    def _repository(self, act: str) -> Answer:
        return self._client.post(f"/v2/repository/models/{self._model}/{act}", {})


def put_back(models: Path = paths.MODELS) -> None:
    """Puts back what a run that was killed in the middle of a fault left aside."""
    for aside in models.glob("*/*/model.onnx.away"):
        aside.rename(aside.with_suffix(""))
