"""One file format each: bytes to values, for files that may hold anything.

A reader knows a format and nothing of models. It opens no more than it was given, never blocks, unpickles or reads
without a limit, and returns what is wrong with a file as a value that says where.
"""
