"""Facts of the market that change by date: data files with their sources, and their strict reader."""
