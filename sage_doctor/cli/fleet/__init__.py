"""Other machines: the command line run there by Ansible, and what they answered.

It is part of `cli/`, because that is what it does: it runs a command elsewhere and shows what came back.
"""
