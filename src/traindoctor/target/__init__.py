"""From what the user names to a setup."""
