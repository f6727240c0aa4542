"""How it is minimised; knows nothing of style."""
