"""damod: the library and the daemon. What a set-up is (spec), what DAMON says (access), where Linux is touched (kernel)."""

__version__ = "0.1.0"
