"""The command line: main parses and runs, each other module is one group of commands."""
