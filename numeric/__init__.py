"""What happens: an independent numpy transformer and the expansions as array code.

Written from the paper, sharing nothing with the symbolic side, so that agreement between the two is evidence.

    formats      the four number formats, and how each computes
    rounding     scalar factors, rounded once from their exact value
    model        parameters: Model, Layer, Head, and their nested-list form
    forward      equations 1 to 5
    expansions   definitions 3.1 to 3.6
    blocks       random new blocks, zero where a theorem says so
    error        rigorous bounds on what rounding can do
    compare      the check, square by square and end to end
    evidence     the check on small random models, with negative controls
"""
