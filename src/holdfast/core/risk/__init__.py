"""Getting out: rules decide, closing executes, protection rests at the broker, limits watch."""
