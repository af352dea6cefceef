"""Code of the flights demo: its data, features and model."""
