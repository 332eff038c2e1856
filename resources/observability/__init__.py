"""What a person or a program sees of work in progress: log lines with a correlation id, and progress with an ETA."""
