"""`python -m beam_pcc`: the command line."""

from beam_pcc.cli import entry

entry()
