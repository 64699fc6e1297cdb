"""What records: one file per thing seen. Each installs one thing and surely removes it."""
