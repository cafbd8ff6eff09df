"""What people do with batch files: look studies up, check what a transfer would move, move it, and get it told."""
