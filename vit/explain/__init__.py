"""What a model looks at: recorded attention, relevance, and whether a map is faithful."""
