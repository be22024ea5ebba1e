"""IoTDA's contract as the vendor's OpenAPI description states it: a second oracle.

The simulator of all tests runs with it (simulator.py): it checks each answer that the
simulated platform gives, and each request of our client, and a difference fails the
test that met it. What an injected fault makes of an answer is not checked.
"""
