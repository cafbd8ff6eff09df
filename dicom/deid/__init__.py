"""De-identification of encoded headers: keys, rules and the engine. Touches no wire and no file."""
