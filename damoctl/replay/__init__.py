"""Recorded accesses, done again on real memory: what is to be touched when (trace), and the touching (engine)."""
