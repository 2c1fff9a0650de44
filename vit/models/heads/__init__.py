"""From a backbone's tokens to detections, one file a head.

Each is a `vit.models.protocols.PixelHead`: built with what backbone and data know, called as
`head(backbone, images, padding=…, objects=…)`, it answers with `Detections` or `ClassMaps`. It
drives the backbone's stages itself, so that tokens may ride along. `no_object` says whether its
logits have a last column for "no object". `flops(backbone, height, width)` counts backbone and
head.
"""
