"""What every kind of data is made by: splits, and in time what else lies beside them."""
