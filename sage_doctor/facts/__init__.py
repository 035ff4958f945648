"""What is there, without judgement: a fact is a typed value about one thing (a model's weights, an adapter, a package).

A fact is put together from what `readers` return, and never raises for what a disk may hold: what cannot be read is a
value that says so. Whether it is good or bad is for checks to say.
"""
