"""`python -m sage_doctor`."""

import sys

from sage_doctor.system.own_python import import_path

if __name__ == "__main__":
    sys.path[:] = import_path()  # -m put the working directory first, which may be a model's

    from sage_doctor.cli import main

    main()
