"""python -m damod"""

import sys

from damod.cli import main

sys.exit(main())
