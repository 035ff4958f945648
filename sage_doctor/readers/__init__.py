"""Readers: from the bytes of one file or directory to values.

A reader is bounded in bytes and time, never blocks, never leaves the directory it was given, never unpickles or
imports what it reads, and does not judge. Where the bytes are invalid, the returned value says what they are instead.
"""
