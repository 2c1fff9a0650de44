"""What any folder or file holds, by its names and the heads of its files; a file an idea."""
