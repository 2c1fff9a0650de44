"""What `import vit` offers besides the commands: the same runs, from Python or a notebook."""
