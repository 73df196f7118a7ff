"""The claims: terms, architectures and expansions as block-matrix rewrites."""
