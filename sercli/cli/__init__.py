"""The command line: one verb per file, which parses, calls an engine and prints."""
