"""The man pages, made from the tables that the programs themselves read."""
