"""What is minimised at one scale."""
