"""All that a recipe names, opened once."""
