"""Where people work: pytest, transformers, Lightning, notebooks."""
