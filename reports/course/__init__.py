"""The course: lessons as data files, exercises that the prover checks, pages and notebooks made from both."""
