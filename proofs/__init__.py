"""Why it is true: kernel, prover, constraints, counterexamples and certificates."""
