"""The papers' experiments, each one command: `main.py experiment NAME`."""
