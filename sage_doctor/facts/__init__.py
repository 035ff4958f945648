"""Facts: what is there on this disk or host, without judgement.

A fact is made from the values that `readers` and `system` return: a frozen value that says what a directory holds or
what the host is. Whether that is right or wrong is for checks to say. Building one never raises for what it finds.
"""
