"""Paired measurements of this package against floors and peers: `python -m tests.bench`."""
