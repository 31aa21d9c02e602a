"""What the smoke test asserts, one module a point of its table. Each gives rows; none raises for what it finds."""
