"""What is kept: the hash-chained journal with its projections, and the tape of the market."""
