"""`scripts/chaos`: a long run and its report."""

import argparse
import shlex
import sys
import tempfile
import time
from pathlib import Path

from .campaign import Campaign, run_campaign
from .report import write_report
from .verdict import judge


def main() -> int:
    """Run; the exit status is 1 when a promise was broken."""
    parser = argparse.ArgumentParser(
        prog="scripts/chaos", description="Bring chaos to a server, report what came of it."
    )
    parser.add_argument("--minutes", type=float, default=30.0, help="how long faults are injected")
    parser.add_argument("--seed", type=int, default=1, help="the same seed plans the same faults and requests")
    parser.add_argument("--every", type=float, default=2.5, metavar="SECONDS", help="mean time between faults")
    parser.add_argument(
        "--freeze", type=float, default=10.0, metavar="SECONDS", help="length of a supervisor's SIGSTOP"
    )
    parser.add_argument("--output", type=Path, help="write the report to this file instead of standard output")
    parser.add_argument("--log", type=Path, help="keep the server's log in this file")
    options = parser.parse_args()
    began, clock = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), time.monotonic()
    campaign = Campaign(options.seed, options.minutes * 60, options.every, options.freeze)
    with tempfile.TemporaryDirectory(prefix="chaos-") as directory:
        findings = run_campaign(campaign, Path(directory))
        if options.log:
            options.log.write_bytes((Path(directory) / "server.log").read_bytes())
    command = shlex.join(["scripts/chaos", *sys.argv[1:]])
    report = write_report(findings, command, began, time.monotonic() - clock)
    if options.output:
        options.output.write_text(report, encoding="utf-8")
    else:
        sys.stdout.write(report)
    return 1 if judge(findings) else 0


if __name__ == "__main__":
    sys.exit(main())
