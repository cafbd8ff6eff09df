"""What the system keeps: typed tables, and the stores that are the only ones to write them."""
