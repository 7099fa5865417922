"""`python -m sandbox.model`, the same as `python -m sandbox model`."""

import argparse
import sys

from sandbox.model.command import HELP, add_server_arguments, run

parser = argparse.ArgumentParser(prog="sandbox model", description=HELP)
add_server_arguments(parser)
sys.exit(run(parser.parse_args()))
