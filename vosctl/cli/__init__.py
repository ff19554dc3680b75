"""The command line: parse into options, call, report; nothing else."""
