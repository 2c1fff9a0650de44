"""From annotation files to boxes, outlines and maps, and what may be wrong with them."""
