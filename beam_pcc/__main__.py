"""`python -m beam_pcc`: the command line."""

from beam_pcc.cli.main import entry

entry()
