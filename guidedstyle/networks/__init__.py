"""Networks that paint in one pass: their layers, their files, and how scenes are painted with them."""
