"""What each shipped task is, apart from being trained (vit/tasks/spec.py), a file a task."""
