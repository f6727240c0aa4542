"""What the first commands make: recipes, layered documents for masks, folders to begin with."""
