"""The demo: its models, its traffic, its live status, and the smoke test that checks what it shows."""
