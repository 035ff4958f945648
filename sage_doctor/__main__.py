"""`python -m sage_doctor`."""

from __future__ import annotations

from sage_doctor.cli import main

if __name__ == "__main__":
    main()
