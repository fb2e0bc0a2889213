"""The outermost layer: what a person sets, where files lie, and the command line."""
