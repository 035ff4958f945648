"""What the child of a probe is made of. It runs in the session's interpreter, Python 3.8 or newer.

Nothing here may import anything of sage-doctor but its neighbours: `script.py` makes those importable, and only those.
"""
