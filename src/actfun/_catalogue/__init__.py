"""What an activation is: vocabulary, registry, formulas. Standard library only."""
