"""The files and signals of one render: options, previews, checkpoints, interrupts."""
