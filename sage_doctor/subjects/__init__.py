"""What is examined: the host, the models on it and the services it talks to, and which of them a run is about.

A subject reads its facts when a check first asks for them, and judges nothing. `selection` decides what a run examines,
`completeness` and `needs` answer what several features ask of a model: is it all there, and what does it take.
"""
