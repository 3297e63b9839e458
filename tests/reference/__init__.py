"""A slow, plain reading of the trading semantics, against which the product is checked.

It shares no code with the product: two independent readings of the same page that agree on random
inputs are worth more than any number of hand-made cases.
"""
