"""Get what a Flink cluster is made of: python -m tests.flink"""

import sys

from tests.downloads import Unavailable
from tests.flink.install import parts

try:
    print(parts().flink)
except Unavailable as error:
    sys.exit(str(error))
