"""From YAML to a recipe, with every error found on the way."""
