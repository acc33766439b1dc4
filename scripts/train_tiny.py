"""Make the tiny model anew: tokenizer, training, export and report. See docs/tiny-model.md.

python scripts/train_tiny.py                           # everything
python scripts/train_tiny.py --resume                  # go on after a kill
python scripts/train_tiny.py --only export evaluate    # from the last checkpoint
"""

import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
if __name__ == "__main__":  # the processes that train together import this file
    runpy.run_module("scripts.tiny", run_name="__main__")
