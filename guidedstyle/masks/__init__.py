"""From painted files to region weights that sum to 1."""
