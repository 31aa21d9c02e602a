"""What the demo and the smoke test share: the rates of the traffic, and starting with the ports that are free."""

from __future__ import annotations

import sys

from . import paths, processes
from .traffic import DigitsStream, Driver, Journal, RouterStream

# Requests a second and rows a request: a third of what two cores can do, so that the page stays quick.
ROUTER_RATE, ROUTER_WORKERS = 24.0, 16
DIGITS_RATE, DIGITS_WORKERS, DIGITS_ROWS = 25.0, 8, 4
PORTS = {"proxy.listen": 8080, "proxy.grpc": 8081, "collector.listen": 8090, "analyzer.listen": 8070}


def check_prepared() -> None:
    """Ends with a sentence where something is not there that `make` would have made."""
    for path, target in ((paths.BINARY, "build"), (paths.MODELS / "digits" / "traffic.csv", "models")):
        if not path.exists():
            sys.exit(f"{path} is not there; run `make {target}`")


def known_ports() -> dict[str, str]:
    """The ports of the documentation, or free ones where others have taken them."""
    settings = {}
    for key, port in PORTS.items():
        free = processes.free_or(port)
        if free != port:
            print(f"port {port} is taken; {key} gets a free one", file=sys.stderr)
        settings[key] = f"127.0.0.1:{free}"
    return settings


def free_ports() -> dict[str, str]:
    """Free ports for everything."""
    return dict.fromkeys(PORTS, "127.0.0.1:0")


def driver(at: processes.Whereabouts, seed: int, keep: int | None) -> Driver:
    """The traffic of both models, not yet started."""
    made = Driver(at.proxy, at.collector, Journal(keep))
    made.add(RouterStream(seed), ROUTER_RATE, ROUTER_WORKERS)
    made.add(DigitsStream(seed + 1, DIGITS_ROWS), DIGITS_RATE, DIGITS_WORKERS)
    return made
