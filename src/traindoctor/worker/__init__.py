"""User code runs in a process of its own, and somebody watches it."""
