"""Where things lie. Everything is relative to the repository, so that any checkout works."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "deploy" / "demo"
DEPS = ROOT / ".deps"
MODELS = ROOT / "models"
DATA = ROOT / "data"
# another build can be tried without a release build first
BINARY = Path(os.environ.get("DRIFTLINE_BINARY", ROOT / "target" / "release" / "driftline")).absolute()
CONFIG = DEMO / "driftline.toml"
