"""What can be trained: backbones, and the models built on them."""
