"""What is on disk: reading and writing records of monitoring results.

This package imports nothing; take the module you need.
"""
