"""Learns to rank items for users: run `python -m ranker.train`."""
