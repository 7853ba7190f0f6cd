"""The DAMON options, each once: spec path, parser, unit, help. Command line -> spec -> command line."""
