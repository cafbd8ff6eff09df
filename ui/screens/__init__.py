"""The pages, one script each; ``ui.navigation`` says which there are and who sees them."""
