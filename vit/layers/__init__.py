"""The pieces of which every model here is made. This room knows only torch."""
