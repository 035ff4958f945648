"""Writing a machine's path as an expression that holds on every machine. Plans are pure; libcst makes the change."""

from __future__ import annotations

from sage_doctor.paths.rewrite.edits import plan_edits, world_of
from sage_doctor.paths.rewrite.planned import Edit, FileEdits, RewriteContext

__all__ = ["Edit", "FileEdits", "RewriteContext", "plan_edits", "world_of"]
