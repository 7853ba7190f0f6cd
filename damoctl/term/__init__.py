"""Width, colour, bars and heat on a terminal."""
