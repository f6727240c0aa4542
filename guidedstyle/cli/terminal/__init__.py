"""What the terminal shows: errors, reports, progress."""
