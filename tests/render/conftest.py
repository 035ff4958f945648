"""The sample reports are imported as the module `sample_reports`, which lies beside this file."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
