"""What is told: the status files, the journal, the logs and the metrics."""
