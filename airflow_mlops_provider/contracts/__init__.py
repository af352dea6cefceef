"""Typed specs and results of every step: pydantic models that are plain JSON, and nothing else."""
