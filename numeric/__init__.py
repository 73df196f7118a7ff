"""What happens: an independent numpy transformer and the expansions as array code."""
