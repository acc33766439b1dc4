"""The command line of `scripts/train_tiny.py`."""

import argparse
from pathlib import Path

from torch import multiprocessing

from scripts.tiny import evaluate, export, tokenizer, train

ROOT = Path(__file__).resolve().parent.parent.parent
STAGES = ("train", "export", "evaluate")


def main() -> None:
    """Run the wanted stages in their order."""
    parser = argparse.ArgumentParser(
        prog="train_tiny.py", description="Make the tiny model anew. See docs/tiny-model.md."
    )
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "tiny", help="folder of checkpoints")
    parser.add_argument(
        "--models", type=Path, default=ROOT / "workers" / "models", help="where the finished model goes"
    )
    parser.add_argument("--steps", type=int, default=2600)
    parser.add_argument(
        "--minutes", type=float, default=None, help="fit the schedule into this time instead of --steps"
    )
    parser.add_argument("--rate", type=float, default=4e-3, help="peak learning rate")
    parser.add_argument("--processes", type=int, choices=(1, 2, 4, 8), default=2, help="that train together")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--anew", action="store_true", help="with --resume: a second phase with a schedule of its own")
    parser.add_argument("--only", nargs="*", choices=STAGES, default=STAGES)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if "train" in args.only:
        goes_on = args.resume and (args.work / "checkpoint.pt").exists()
        pieces = tokenizer.load(args.work) if goes_on else tokenizer.train()
        pieces.save(str(args.work / "tokenizer.json"))
        plan = train.Plan(args.steps, args.rate, minutes=args.minutes)
        (args.work / "meeting").unlink(missing_ok=True)
        multiprocessing.spawn(  # type: ignore[no-untyped-call]
            train.run_apart, (args.processes, args.work, plan, args.resume, args.anew), nprocs=args.processes
        )
    if "export" in args.only:
        export.everything(args.work, args.models)
    if "evaluate" in args.only:
        evaluate.report(args.models, ROOT / "docs")


if __name__ == "__main__":
    main()
