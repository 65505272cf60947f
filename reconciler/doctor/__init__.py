"""What can go wrong around the controller: `look` gathers what is so, the checks judge it, and nothing is changed."""
