"""What is told: the status files and the journal."""
