"""What people and workers can do: the rules. Screens, commands and tasks call these functions and nothing below."""
