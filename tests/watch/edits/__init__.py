"""The planted faults, by kind of script."""
