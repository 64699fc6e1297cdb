"""From what other libraries hand over to a setup, without importing them first."""
