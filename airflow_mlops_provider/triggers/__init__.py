"""Triggers: what deferred sensors wait for. None fires in its first ten seconds."""
