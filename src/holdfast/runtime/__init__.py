"""The shell around the engine: it waits, sends and keeps time, and decides nothing."""
