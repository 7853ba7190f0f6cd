"""damoctl: the command-line client of damod. Nothing in damod imports from here."""
