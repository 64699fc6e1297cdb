"""The command line. Nothing here imports torch, pandas or the user's code."""
