"""Images: open, read and write them, with their profiles and metadata."""
