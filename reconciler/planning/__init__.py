"""Pure decisions: facts come in as arguments, a plan or a status comes out."""
