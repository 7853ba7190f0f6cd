"""python -m damoctl"""

import sys

from damoctl.main import main

sys.exit(main())
