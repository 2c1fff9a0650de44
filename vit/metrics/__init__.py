"""Metrics that count each image once, whatever the batches and the number of processes."""
