"""What training programs may be made of, the odder the better: parts by name."""
