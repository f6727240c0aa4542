"""What this machine has: memory, precision, processes."""
