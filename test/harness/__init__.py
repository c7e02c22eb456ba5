"""What the end-to-end tests share: real clusters, the engine as a process, comparison, load."""
