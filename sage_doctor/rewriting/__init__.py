"""Writing a machine's path as an expression that holds on every machine. Plans are pure; libcst makes the change."""

from __future__ import annotations

from sage_doctor.rewriting.edits import Edit, FileEdits, World, plan_edits, world_of

__all__ = ["Edit", "FileEdits", "World", "plan_edits", "world_of"]
