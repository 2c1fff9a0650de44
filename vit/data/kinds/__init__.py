"""The kinds of data: classes, boxes, pixels, texts; each names what its data sets share."""
