"""Finding hard-coded paths: files are read as text, never imported and never run."""

from __future__ import annotations

from sage_doctor.paths.find.path_map import ClassifiedPath, PathMap, PathOrigin
from sage_doctor.paths.find.reference import PathReference, Script
from sage_doctor.paths.find.script import read_program, read_script

__all__ = ["ClassifiedPath", "PathMap", "PathOrigin", "PathReference", "Script", "read_program", "read_script"]
