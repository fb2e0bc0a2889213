"""What the trading process answers to whoever asks on this machine: its owner, and nobody else."""
