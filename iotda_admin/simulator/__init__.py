"""A simulated IoTDA: its own process with its own state, reached over HTTP only.

    python -m iotda_admin.simulator

It prints one line of JSON with the addresses of its two ports. `api` serves IAM and
IoTDA. `control` serves tests and demos: it resets the state, changes settings, adds
faults and shows what really happened; the product never uses it.

config.py   settings fixed at the start, from the environment
settings.py settings that the control port changes at run time
api/        the endpoints of IoTDA and IAM, each declared at its handler
state/      what the simulated platform stores, and the journal of its requests
faults/     what can go wrong with a request
control/    the endpoints of the control port
demo/       the devices, products and policies that a new state starts with
"""
