"""What can go wrong around the controller: `collect` gathers facts, the checks judge them, and nothing is changed."""
