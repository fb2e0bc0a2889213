"""What the market says, as the engine keeps it: quotes with their age, candles, forwards."""
