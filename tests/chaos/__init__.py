"""Processes killed with SIGKILL around the ledgers' commits, and what must still hold: `python -m tests.chaos`."""
