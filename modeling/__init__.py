"""Joint models: protocols as pure party code over channels, and what a job needs around them."""
