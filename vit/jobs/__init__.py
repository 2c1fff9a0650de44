"""What a process executes: training, evaluation, prediction, export."""
