"""What to write instead of what does not mean what it seems to: keys, values, files, lines of YAML."""
