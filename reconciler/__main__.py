"""`python -m reconciler`: the command."""

from reconciler.cli.main import main

main()
