"""Learning from the user's own frames, which have no labels."""
