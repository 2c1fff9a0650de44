"""Tasks: models in training, and what puts them together. The one room that knows all parts."""
