"""The values every layer speaks in: instruments, market data, orders, events, commands."""
