"""What of a model is trained: everything, its head, its last blocks, biases, or small adapters."""
