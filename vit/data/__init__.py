"""Data sets: where images and labels come from, and how they become batches. One file a kind."""
