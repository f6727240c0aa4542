"""What the user wrote: frozen, validated, with line numbers. Without torch."""
