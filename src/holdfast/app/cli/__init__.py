"""The command line: one verb for each thing a person asks of the program."""
