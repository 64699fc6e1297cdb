"""What records: one file per thing seen. Each installs one thing and removes it whatever happens."""
