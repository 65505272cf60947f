"""What the controller writes for others: the status files, the journal, the logs and the metrics."""
