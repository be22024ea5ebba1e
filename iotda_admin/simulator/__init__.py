"""A stand-in IoTDA: its own process, its own state, reached over HTTP only.

    python -m iotda_admin.simulator

It prints one line of JSON that says where its two ports are: `api`, which IAM and IoTDA share, and
`control`, which tests and demos use to reset, switch, break and read the truth; the product never does.
config.py has what is set at the start, settings.py what can be changed while it runs, routes.py the calls
that are played, and fault_kinds.py what can go wrong.
"""
