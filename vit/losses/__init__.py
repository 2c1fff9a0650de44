"""Losses: functions of tensors, one value per image."""
