"""The library and the daemon: what a set-up is (spec), what DAMON says (access), where Linux is touched (kernel)."""

__version__ = "0.1.0"
