"""damoctl diagnose: what is wrong with DAMON on this machine, why, and what to do.

`gather` collects facts by reading, through the daemon or without one; the checks are pure functions Facts -> findings.
"""
