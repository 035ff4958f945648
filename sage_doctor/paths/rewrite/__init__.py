"""Rewriting a machine's path as an expression that works on every machine: plan (pure), then new file contents."""

from __future__ import annotations

from sage_doctor.paths.rewrite.file_edits import Edit, FileEdits, RewriteContext
from sage_doctor.paths.rewrite.plan import plan_edits, rewrite_context

__all__ = ["Edit", "FileEdits", "RewriteContext", "plan_edits", "rewrite_context"]
