"""What happens around the training steps: averages, checkpoints, records, the bar."""
