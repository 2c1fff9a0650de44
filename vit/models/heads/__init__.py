"""From a backbone's tokens to detections, one file a head.

Every head is called as `head(dim=…, num_classes=…, patch_size=…, depth=…)` with what backbone and
data know, and answers `head(backbone, images, padding=…, objects=…)` with `Detections`. It drives
the backbone's stages itself, so that tokens may ride along. `no_object` says whether its logits
have a last column for "no object". `flops(backbone, height, width)` counts backbone and head.
"""
